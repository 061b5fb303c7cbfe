"use strict";
// Uploads by hand: files are sent one after the other, with the progress of their bytes; then the progress of
// their files is polled.

const form = document.getElementById("send");
const MAX_PAUSE = 5000; // milliseconds between two polls

if (form) {
  const field = form.elements.archive;
  field.multiple = true;
  form.querySelector(".hint [hidden]").hidden = false;
  let queue = Promise.resolve();
  let sending = 0;

  const enqueue = (files) => {
    for (const file of files) {
      const row = new UploadRow(file);
      queue = queue.then(() => row.send());
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    enqueue(field.files);
    field.value = "";
  });
  acceptDrops(form, enqueue);
  window.addEventListener("beforeunload", (event) => { if (sending) event.preventDefault(); });

  class UploadRow {
    constructor(file) {
      this.file = file;
      const row = form.querySelector("template").content.firstElementChild.cloneNode(true);
      [this.bar, this.text, this.button] = ["progress", "span", "button"].map((name) => row.querySelector(name));
      this.name = row.querySelector("bdi");
      this.name.textContent = file.name;
      this.bar.setAttribute("aria-label", file.name);
      this.button.setAttribute("aria-label", `Cancel ${file.name}`);
      this.button.onclick = () => this.cancel();
      this.text.textContent = "waiting";
      form.querySelector(".sent").append(row);
      this.row = row;
    }

    // Resolves when the bytes are sent or the upload has failed.
    send() {
      if (this.isOver) return undefined;
      if (this.file.size > Number(form.dataset.most)) return this.fail(`larger than ${size(Number(form.dataset.most))}`);
      const body = new FormData();
      body.append(this.file.name, this.file);
      this.request = new XMLHttpRequest();
      this.request.upload.onprogress = (event) => this.showSent(event.loaded, event.total);
      announce(`Uploading ${this.file.name}`);
      sending += 1;
      return new Promise((done) => {
        this.request.onloadend = () => { sending -= 1; this.handleResponse(); done(); };
        this.request.open("POST", form.dataset.to);
        this.request.send(body);
      });
    }

    showSent(bytes, all) {
      this.show(bytes, all, bytes < all ? `${size(bytes)} of ${size(all)} sent` : "sent, checking");
    }

    handleResponse() {
      if (this.isOver) return;
      const { status, response } = this.request;
      const result = parse(response);
      if (status === 202) {
        this.upload = result.upload.id;
        addLink(this.name, `${form.dataset.page}${this.upload}/`);
        refreshList();
        this.watch(result.upload, 250);
      } else this.fail(explainFailure(status, result.error), !status || status === 429 || status >= 500);
    }

    async watch(upload, pause) {
      if (this.isOver) return;
      if (upload) this.show(upload.members_done, upload.members_total, `${upload.members_done} of ${upload.members_total} files stored`);
      if (upload?.error) this.fail(upload.error);
      else if (upload?.cancelled_at) this.end("cancelled");
      else if (upload?.completed_at) {
        const warnings = upload.warnings?.length ? `, ${upload.warnings.length} warnings` : "";
        this.end(`complete: ${upload.members_total} files${warnings}`);
      }
      else {
        await new Promise((done) => { setTimeout(done, pause); });
        this.watch(await this.poll(), Math.min(pause * 1.5, MAX_PAUSE));
      }
    }

    async poll() {
      try {
        const reply = await fetch(`${form.dataset.progress}${this.upload}`);
        if (reply.ok) return await reply.json();
        this.text.textContent = "no response, trying again";
      } catch {
        this.text.textContent = "no response, trying again";
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
      if (reply?.ok) this.end("cancelled; files that are stored already stay");
    }

    show(done, all, text) {
      this.bar.max = all || 1;
      this.bar.value = done;
      this.text.textContent = text;
    }

    offerRetry() {
      this.button.textContent = "Try again";
      this.button.setAttribute("aria-label", `Try ${this.file.name} again`);
      this.button.onclick = () => { this.row.remove(); enqueue([this.file]); };
    }

    fail(text, again = false) {
      this.row.classList.add("bad");
      this.end(text, again);
    }

    end(text, again = false) {
      this.isOver = true;
      this.text.textContent = text;
      this.bar.remove();
      if (again) this.offerRetry();
      else this.button.remove();
      announce(`${this.file.name}: ${text}`);
      refreshList();
    }
  }
}

function explainFailure(status, text) {
  if (status === 0) return "the connection failed";
  if (status === 403) return `${text}. Your session may have ended: reload the page`;
  return text || `the server responded with status ${status}`;
}

function announce(text) { form.querySelector("[role=status]").textContent = text; }

function refreshList() { document.body.dispatchEvent(new Event("uploaded")); }

function addLink(name, address) {
  const anchor = document.createElement("a");
  anchor.href = address;
  name.replaceWith(anchor);
  anchor.append(name);
}

function parse(text) {
  try { return JSON.parse(text); } catch { return {}; }
}

function size(bytes) {
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(bytes || 1) / 3)));
  const value = bytes / 1000 ** power;
  return `${value < 10 && power ? value.toFixed(1) : Math.round(value)} ${["B", "KB", "MB", "GB", "TB"][power]}`;
}
