"use strict";
// Minidumps and core files by hand: the file is sent with the progress of its bytes. A text is read into the
// field for texts. Any other file is refused before it is sent.

const form = document.getElementById("minidump-form");
// The first bytes of a minidump, of a file in gzip or zstd, and of an ELF file whose type is 4: a core.
const START = /^(4d444d50|1f8b|28b52ffd|7f454c46.{24}(0400|0004))/;
const START_BYTES = 18;

if (form) {
  const field = form.elements.minidump;
  const [bar, status] = ["progress", "[role=status]"].map((name) => form.querySelector(name));
  const texts = document.getElementById("text");
  form.querySelector(".hint [hidden]").hidden = false;

  const say = (text) => { status.textContent = text; };
  const stop = (text) => { bar.hidden = true; status.className = "no"; say(text); };

  const send = (file) => {
    if (file.size > Number(form.dataset.most)) return stop(`${file.name} is larger than ${form.dataset.mostText}.`);
    const body = new FormData();
    body.append("minidump", file);
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => {
      [bar.max, bar.value] = [event.total || 1, event.loaded];
      say(event.loaded < event.total ? `${Math.floor((100 * event.loaded) / event.total)} % sent` : "Sent");
    };
    request.onload = () => {
      if (request.status === 201) location.assign(JSON.parse(request.responseText).url);
      else stop(`Not processed: ${explain(request)}`);
    };
    request.onerror = () => stop("Not sent: the connection failed. Try again.");
    bar.hidden = false;
    status.className = "";
    say("Sending");
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    return request.send(body);
  };

  const take = async (file) => {
    if (!file.size) return stop(`${file.name} is empty.`);
    const head = [...new Uint8Array(await file.slice(0, START_BYTES).arrayBuffer())];
    const start = head.map((byte) => byte.toString(16).padStart(2, "0")).join("");
    if (START.test(start)) return send(file);
    if (!texts || head.includes(0)) return stop(`${file.name} is not a minidump or core file.`);
    texts.value = await file.text();
    texts.focus();
    return stop(`${file.name} is a text, and is in the field for texts now.`);
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    take(field.files[0]);
  });
  // Before the listener that reads every file as a text.
  document.querySelector("input[data-into]")?.addEventListener("change", (event) => {
    event.stopImmediatePropagation();
    take(event.target.files[0]);
  }, true);
  acceptDrops(form, (files) => take(files[0]));
}

// Errors are pages.
function explain(request) {
  const page = new DOMParser().parseFromString(request.responseText, "text/html");
  return page.querySelector(".problem-page .lines")?.textContent ?? `the server responded with status ${request.status}`;
}
