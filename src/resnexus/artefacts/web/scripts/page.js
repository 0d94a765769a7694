// The page: takes pictures from wherever they come, hands them to the worker, and shows what it answers.

import { asJsonLines, percent } from "./answers.js";
import { asset } from "./assets.js";
import { openCamera } from "./camera.js";
import { card, note, showAnswer, showRefusal } from "./cards.js";

const DEVICES = { wasm: "the processor", webgpu: "the graphics processor" };

const settings = JSON.parse(document.getElementById("settings").textContent);
const list = document.getElementById("answers");
/** Every picture that is shown, by its number: {filename, element, answers, error}. */
const pictures = new Map();
let worker = null;
let count = 0;

function say(text) {
  document.getElementById("state").textContent = text;
}

function sayReady(device, threads) {
  say(`Ready, on ${DEVICES[device]}${threads > 1 ? ` with ${threads} threads` : ""}.`);
}

function warn(text) {
  const element = document.getElementById("warning");
  element.textContent = text;
  element.hidden = text === "";
}

function add(files) {
  const fragment = document.createDocumentFragment();
  for (const file of files) {
    const id = (count += 1);
    const element = card(id, file.name, () => remove(id));
    pictures.set(id, { filename: file.name, element, answers: [], error: "waiting" });
    note(element, "Waiting");
    fragment.append(element);
    worker.postMessage({ kind: "picture", id, file });
  }
  // What came last is first, in the order in which it came.
  list.prepend(fragment);
  showTools();
}

function remove(id) {
  const { element } = pictures.get(id);
  const next = element.nextElementSibling ?? element.previousElementSibling;
  (next?.querySelector(".remove") ?? document.getElementById("files")).focus();
  element.remove();
  pictures.delete(id);
  showTools();
}

function showTools() {
  document.getElementById("tools").hidden = pictures.size === 0;
}

const HANDLERS = {
  ready({ device, threads, honest }) {
    sayReady(device, threads);
    if (!honest) warn("This browser changes the pixels that pages read, against recognition: answers may be wrong.");
    for (const control of document.querySelectorAll(".drop :disabled, #device")) control.disabled = false;
    document.body.dataset.ready = device;
  },
  using({ device, threads, reason }) {
    sayReady(device, threads);
    warn(reason === null ? "" : `${reason} The processor is used.`);
    const choice = document.getElementById("device");
    choice.value = device;
    choice.disabled = false;
    document.body.dataset.ready = device;
  },
  begun(_, picture) {
    note(picture.element, "Looking at it");
  },
  answered(answer, picture) {
    Object.assign(picture, { answers: answer.answers, error: null });
    showAnswer(picture.element, answer, settings.classes, `heat-${answer.id}`);
    const [{ index, share }] = answer.answers;
    say(`${picture.filename}: ${settings.classes[index]}, ${percent(share)}.`);
  },
  refused({ code, message }, picture) {
    picture.error = code;
    showRefusal(picture.element, message);
    say(`${picture.filename}: ${message}`);
  },
  failed({ message }, picture) {
    if (!picture) {
      fail(message);
      return;
    }
    picture.error = "failed";
    showRefusal(picture.element, `No answer: ${message}`);
  },
};

function listen({ data }) {
  // A picture that has been removed is answered all the same.
  const picture = data.id == null ? null : pictures.get(data.id);
  if (data.id == null || picture) HANDLERS[data.kind](data, picture);
}

function fail(message) {
  document.body.dataset.failed = "";
  say("This page does not work here.");
  warn(message);
}

async function start() {
  say(`Loading the network, ${settings.megabytes} MB.`);
  const names = Object.keys(settings.files);
  const contents = await Promise.all(names.map((name) => asset(name, settings.files)));
  const files = Object.fromEntries(names.map((name, place) => [name, contents[place]]));
  say("Starting the network.");
  const text = document.getElementById("worker").textContent;
  // No module: for a page that is a file, browsers start none as a worker.
  worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  worker.onmessage = listen;
  worker.onerror = (event) => fail(event.message || "The browser does not start the worker.");
  worker.postMessage({ kind: "start", files, settings }, contents);
}

function hasFiles(event) {
  return Array.from(event.dataTransfer?.types ?? []).includes("Files");
}

function connect() {
  const chooser = document.getElementById("files");
  chooser.addEventListener("change", () => {
    add(chooser.files);
    chooser.value = "";
  });
  document.getElementById("camera").addEventListener("click", () => {
    openCamera((file) => add([file])).catch((error) => warn(error.message));
  });
  document.addEventListener("paste", ({ clipboardData }) => {
    if (document.body.dataset.ready) add(clipboardData.files);
  });
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dragged");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (relatedTarget === null) document.body.classList.remove("dragged");
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.remove("dragged");
    if (document.body.dataset.ready) add(event.dataTransfer.files);
  });
  connectTools();
}

function connectTools() {
  const heat = document.getElementById("heat");
  heat?.addEventListener("change", () => list.classList.toggle("cold", !heat.checked));
  document.getElementById("clear").addEventListener("click", () => {
    list.replaceChildren();
    pictures.clear();
    showTools();
    document.getElementById("files").focus();
  });
  document.getElementById("save").addEventListener("click", save);
  const device = document.getElementById("device");
  device?.addEventListener("change", () => {
    device.disabled = true;
    say(`Starting the network on ${DEVICES[device.value]}.`);
    worker.postMessage({ kind: "use", device: device.value });
  });
}

function save() {
  const lines = asJsonLines(Array.from(pictures.values()), settings.classes);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines], { type: "application/x-ndjson" }));
  link.download = "answers.jsonl";
  link.click();
  URL.revokeObjectURL(link.href);
}

connect();
start().catch((error) => fail(error.message));
