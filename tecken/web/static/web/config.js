"use strict";
// Filter of the options while typing. All of them stay in the form: hidden ones keep their values, and those with
// changes that are not saved stay visible.

const options = document.getElementById("options");
const { q, changed } = options.elements;
const sections = [...options.querySelectorAll(".options")];
const links = [...options.querySelectorAll(".sections li")];

// Without it, Enter in a field saves. It only serves pages without scripts.
options.querySelector("button[value=filter]").remove();
q.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
for (const event of ["input", "change"]) options.addEventListener(event, ({ target }) => {
  if (target === q || target === changed) filter();
});
filter();

function filter() {
  const words = q.value.toLowerCase().split(/\s+/);
  let found = 0;
  sections.forEach((section, number) => {
    const shown = [...section.querySelectorAll(".option")].filter((option) => {
      option.hidden = !isEdited(option) && !matches(option, words);
      return !option.hidden;
    });
    found += shown.length;
    section.hidden = links[number].hidden = !shown.length;
  });
  const count = document.getElementById("found");
  count.textContent = count.textContent.replace(/^\d+/, found);
}

function matches(option, words) {
  if (changed.checked && !option.classList.contains("set")) return false;
  const windows = [...option.querySelectorAll(".window > code")].map((code) => code.textContent);
  const text = [option.querySelector(".about").textContent, field(option).value, ...windows].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function field(option) { return option.querySelector("input, select, textarea"); }

function isEdited(option) {
  if (option.classList.contains("edited")) return true;
  return [...option.querySelectorAll("input, select, textarea")].some((field) => {
    if (field.type === "checkbox") return field.checked !== field.defaultChecked;
    if (field.tagName === "SELECT") return !field.selectedOptions[0].defaultSelected;
    return field.value !== field.defaultValue;
  });
}
