// A card for every picture: the picture, what it is taken for, and where it speaks for that.

import { duration, percent } from "./answers.js";

const HEAT_SIDE = 224;
const TALLEST = "22rem";

/** Make the card of a picture, waiting; `removed` is called when its button is pressed. */
export function card(id, filename, removed) {
  const element = document.getElementById("card").content.firstElementChild.cloneNode(true);
  const title = element.querySelector("h3");
  title.textContent = filename;
  title.id = `title-${id}`;
  element.querySelector("article").setAttribute("aria-labelledby", title.id);
  const remove = element.querySelector(".remove");
  remove.setAttribute("aria-label", `Remove ${filename}`);
  remove.addEventListener("click", removed);
  return element;
}

/** Say what becomes of a picture. */
export function note(element, text) {
  element.querySelector(".note").textContent = text;
}

/** Show that a picture is refused, and why. */
export function showRefusal(element, message) {
  note(element, message);
  element.classList.add("refused");
}

/** Show the answer of the worker. */
export function showAnswer(element, answer, classes, name) {
  const { answers, heats, preview, size, crop, prepared, computed } = answer;
  note(element, `${size.width} x ${size.height} pixels, prepared in ${duration(prepared)}, answered in ${duration(computed)}`);
  showPicture(element, preview, size, crop);
  const list = element.querySelector(".classes");
  list.append(...answers.map((entry, rank) => row(entry, classes, heats && { name, rank })));
  list.hidden = false;
  if (heats) {
    list.addEventListener("change", ({ target }) => showHeat(element, heats[Number(target.value)]));
    showHeat(element, heats[0]);
  }
}

function showPicture(element, preview, size, crop) {
  const view = element.querySelector(".view");
  const frame = element.querySelector(".frame");
  frame.style.aspectRatio = `${size.width} / ${size.height}`;
  frame.style.width = `max(2px, min(100%, calc(${TALLEST} * ${size.width / size.height})))`;
  const canvas = element.querySelector(".picture");
  canvas.width = preview.width;
  canvas.height = preview.height;
  canvas.getContext("bitmaprenderer").transferFromImageBitmap(preview);
  const seen = element.querySelector(".seen");
  seen.style.left = `${(100 * crop.left) / size.width}%`;
  seen.style.top = `${(100 * crop.top) / size.height}%`;
  seen.style.width = `${(100 * crop.width) / size.width}%`;
  seen.style.height = `${(100 * crop.height) / size.height}%`;
  view.hidden = false;
}

/** One class: its name, its share, a bar, and with maps a button that chooses whose map is shown. */
function row({ index, share }, classes, choice) {
  const element = document.getElementById("class").content.firstElementChild.cloneNode(true);
  element.querySelector(".name").textContent = classes[index];
  element.querySelector(".share").textContent = percent(share);
  element.querySelector(".bar span").style.width = `${100 * share}%`;
  const input = element.querySelector("input");
  if (choice) {
    input.name = choice.name;
    input.value = choice.rank;
    input.checked = choice.rank === 0;
  } else {
    input.remove();
  }
  return element;
}

function showHeat(element, { pixels, height, width }) {
  const small = new OffscreenCanvas(width, height);
  small.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  const canvas = element.querySelector(".heat");
  canvas.width = HEAT_SIDE;
  canvas.height = HEAT_SIDE;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, HEAT_SIDE, HEAT_SIDE);
}
