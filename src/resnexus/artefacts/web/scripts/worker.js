// The worker: everything that takes time, away from the page, one picture after another.

import { sharesOf, top } from "./answers.js";
import { decoded, pixelsComeBack, pixelsOf } from "./decode.js";
import { heatPixels } from "./heat.js";
import { answered, openRuntime, use } from "./network.js";
import { normalised } from "./normalise.js";
import { Refusal } from "./refusal.js";
import { grey, planned, resized } from "./resize.js";

const ANSWERS = 5;
const PREVIEW = 512;

let settings = null;
let shape = null;
let last = Promise.resolve();

self.onmessage = ({ data }) => {
  last = last.then(() => HANDLERS[data.kind](data)).catch((error) => {
    self.postMessage({ kind: "failed", id: data.id ?? null, message: String(error?.message ?? error) });
  });
};

const HANDLERS = {
  async start(message) {
    settings = message.settings;
    const { size, mean } = settings.preprocess;
    shape = [1, mean.length, size, size];
    await openRuntime(message.files, settings.interface);
    self.postMessage({ kind: "ready", ...(await use("wasm", shape)), honest: pixelsComeBack() });
  },

  async use({ device }) {
    self.postMessage({ kind: "using", ...(await use(device, shape)) });
  },

  async picture({ id, file }) {
    self.postMessage({ kind: "begun", id });
    const begun = performance.now();
    let bitmap = null;
    try {
      bitmap = await decoded(file);
      const { input, plan } = await prepared(bitmap);
      const ready = performance.now();
      const { logits, maps } = await answered(input, shape);
      const done = performance.now();
      await tell({ id, bitmap, plan, logits, maps, prepared: ready - begun, computed: done - ready });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      self.postMessage({ kind: "refused", id, code: error.code, message: error.message });
    } finally {
      bitmap?.close();
    }
  },
};

async function prepared(bitmap) {
  const plan = planned(bitmap.width, bitmap.height, settings.preprocess);
  if (plan === null) throw new Refusal("too-long");
  const coloured = await pixelsOf(bitmap, plan.region);
  const pixels = settings.preprocess.mean.length === 1 ? grey(coloured) : coloured;
  return { input: normalised(resized(pixels, plan, settings.preprocess), settings.preprocess), plan };
}

async function tell({ id, bitmap, plan, logits, maps, prepared: preparing, computed }) {
  const answers = top(sharesOf(logits, settings.multiLabel), ANSWERS);
  const heats = maps && answers.map(({ index }) => heatOf(maps, index));
  const preview = await previewOf(bitmap);
  const size = { width: bitmap.width, height: bitmap.height };
  self.postMessage(
    { kind: "answered", id, answers, heats, preview, size, crop: plan.crop, prepared: preparing, computed },
    [preview],
  );
}

function heatOf({ data, height, width }, index) {
  const area = height * width;
  return { pixels: heatPixels(data.slice(index * area, (index + 1) * area)), height, width };
}

function previewOf(bitmap) {
  const scale = Math.min(1, PREVIEW / Math.max(bitmap.width, bitmap.height));
  const resizeWidth = Math.max(1, Math.round(bitmap.width * scale));
  const resizeHeight = Math.max(1, Math.round(bitmap.height * scale));
  return createImageBitmap(bitmap, { resizeWidth, resizeHeight, resizeQuality: "high" });
}
