"use strict";
// Uploads by hand: bytes as they are sent, one archive after the other; then files as they are kept.

const form = document.getElementById("send");
const SLOWEST = 5000; // milliseconds between two questions

if (form) {
  const field = form.elements.archive;
  field.multiple = true;
  form.querySelector(".hint [hidden]").hidden = false;
  let turn = Promise.resolve();
  let sending = 0;

  const enqueue = (files) => {
    for (const file of files) {
      const row = new Row(file);
      turn = turn.then(() => row.send());
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    enqueue(field.files);
    field.value = "";
  });
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    form.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) form.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    form.classList.remove("over");
    enqueue(event.dataTransfer.files);
  });
  window.addEventListener("beforeunload", (event) => { if (sending) event.preventDefault(); });

  class Row {
    constructor(file) {
      this.file = file;
      const row = form.querySelector("template").content.firstElementChild.cloneNode(true);
      [this.bar, this.told, this.button] = ["progress", "span", "button"].map((name) => row.querySelector(name));
      this.name = row.querySelector("bdi");
      this.name.textContent = file.name;
      this.bar.setAttribute("aria-label", file.name);
      this.button.setAttribute("aria-label", `Cancel ${file.name}`);
      this.button.onclick = () => this.cancel();
      this.told.textContent = "waits";
      form.querySelector(".sent").append(row);
      this.row = row;
    }

    // Done when its bytes are sent, or never will be.
    send() {
      if (this.over) return undefined;
      if (!this.file.name.toLowerCase().endsWith(".zip")) return this.fail("not a .zip file");
      if (this.file.size > Number(form.dataset.most)) return this.fail(`larger than ${size(Number(form.dataset.most))}`);
      const body = new FormData();
      body.append(this.file.name, this.file);
      this.request = new XMLHttpRequest();
      this.request.upload.onprogress = (event) => this.sent(event.loaded, event.total);
      say(`Uploading ${this.file.name}`);
      sending += 1;
      return new Promise((done) => {
        this.request.onloadend = () => { sending -= 1; this.answered(); done(); };
        this.request.open("POST", form.dataset.to);
        this.request.send(body);
      });
    }

    sent(bytes, all) {
      this.show(bytes, all, bytes < all ? `${size(bytes)} of ${size(all)} sent` : "sent, being looked at");
    }

    answered() {
      if (this.over) return;
      const { status, response } = this.request;
      const told = parsed(response);
      if (status === 202) {
        this.upload = told.upload.id;
        link(this.name, `${form.dataset.page}${this.upload}/`);
        changed();
        this.watch(told.upload, 250);
      } else this.fail(reason(status, told.error), !status || status === 429 || status >= 500);
    }

    async watch(upload, pause) {
      if (this.over) return;
      if (upload) this.show(upload.members_done, upload.members_total, `${upload.members_done} of ${upload.members_total} files done`);
      if (upload?.error) this.fail(upload.error);
      else if (upload?.cancelled_at) this.end("cancelled");
      else if (upload?.completed_at) {
        const warnings = upload.warnings?.length ? `, ${upload.warnings.length} warnings` : "";
        this.end(`complete: ${upload.members_total} files${warnings}`);
      }
      else {
        await new Promise((done) => { setTimeout(done, pause); });
        this.watch(await this.ask(), Math.min(pause * 1.5, SLOWEST));
      }
    }

    async ask() {
      try {
        const reply = await fetch(`${form.dataset.progress}${this.upload}`);
        if (reply.ok) return await reply.json();
        this.told.textContent = "no answer, asking again";
      } catch {
        this.told.textContent = "no answer, asking again";
      }
      return undefined;
    }

    async cancel() {
      if (!this.upload) {
        this.end("cancelled");
        this.request?.abort();
        return;
      }
      const reply = await fetch(`${form.dataset.progress}${this.upload}/cancel`, { method: "POST" }).catch(() => undefined);
      if (reply?.ok) this.end("cancelled; what was stored already stays");
    }

    show(done, all, text) {
      this.bar.max = all || 1;
      this.bar.value = done;
      this.told.textContent = text;
    }

    offer() {
      this.button.textContent = "Try again";
      this.button.setAttribute("aria-label", `Try ${this.file.name} again`);
      this.button.onclick = () => { this.row.remove(); enqueue([this.file]); };
    }

    fail(text, again = false) {
      this.row.classList.add("bad");
      this.end(text, again);
    }

    end(text, again = false) {
      this.over = true;
      this.told.textContent = text;
      this.bar.remove();
      if (again) this.offer();
      else this.button.remove();
      say(`${this.file.name}: ${text}`);
      changed();
    }
  }
}

function reason(status, text) {
  if (status === 0) return "the connection broke";
  if (status === 403) return `${text}. Is your session over? Reload the page`;
  return text || `the server said ${status}`;
}

function say(text) { form.querySelector("[role=status]").textContent = text; }

function changed() { document.body.dispatchEvent(new Event("uploaded")); }

function link(name, address) {
  const made = document.createElement("a");
  made.href = address;
  name.replaceWith(made);
  made.append(name);
}

function parsed(text) {
  try { return JSON.parse(text); } catch { return {}; }
}

function size(bytes) {
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(bytes || 1) / 3)));
  const value = bytes / 1000 ** power;
  return `${value < 10 && power ? value.toFixed(1) : Math.round(value)} ${["B", "KB", "MB", "GB", "TB"][power]}`;
}
