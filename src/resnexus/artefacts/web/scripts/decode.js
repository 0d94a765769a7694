// From a file to the pixels that are needed of it, by the rules of `resnexus.data.images` as far as a browser keeps them.
//
// The orientation in the file is applied, colour profiles are not, and transparency is dropped: the colours beneath stay.

import { formatOf, hasFourInks, isTurnedWebp, isWhole, sizeOf } from "./container.js";
import { Refusal } from "./refusal.js";
import { MAX_PIXELS, MAX_SIDE } from "./resize.js";

const MAX_BYTES = 2 ** 30;
const AS_STORED = { premultiplyAlpha: "none", colorSpaceConversion: "none" };

/** Decode a file to an ImageBitmap, upright; throws a Refusal. */
export async function decoded(file) {
  if (file.size === 0) throw new Refusal("empty");
  if (file.size > MAX_BYTES) throw new Refusal("too-large-file");
  const bytes = new Uint8Array(await file.arrayBuffer());
  const format = formatOf(bytes);
  if (format === null) throw new Refusal("not-an-image");
  if (format === "TIFF") throw new Refusal("tiff");
  // Before anything is decoded: a small file may say that it is a picture of gigabytes.
  const size = sizeOf(bytes, format);
  if (size === null && format !== "AVIF") throw new Refusal("not-an-image");
  if (size !== null && isTooLarge(size)) throw new Refusal("too-large");
  if (!isWhole(bytes, format)) throw new Refusal("damaged");
  if (format === "JPEG" && hasFourInks(bytes)) throw new Refusal("four-inks");
  if (format === "WEBP" && isTurnedWebp(bytes)) throw new Refusal("turned");
  // The type is the one that was found: what a file is called does not count.
  const picture = new Blob([bytes], { type: `image/${format.toLowerCase()}` });
  const bitmap = await createImageBitmap(picture, { imageOrientation: "from-image", ...AS_STORED }).catch(() => {
    throw new Refusal("damaged");
  });
  if (isTooLarge(bitmap)) {
    bitmap.close();
    throw new Refusal("too-large");
  }
  return bitmap;
}

function isTooLarge({ width, height }) {
  return width * height > MAX_PIXELS || Math.max(width, height) > MAX_SIDE;
}

/** The pixels of a region, {left, top, width, height}, as `resized` takes them; throws a Refusal. */
export async function pixelsOf(bitmap, region) {
  const { left, top, width, height } = region;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, left, top, width, height, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  // A canvas loses the colours beneath what is transparent; where nothing is, it loses nothing.
  const stored = isOpaque(data) ? data : await beneath(bitmap, region);
  return { data: stored, width, height, stride: 4, channels: 3 };
}

function isOpaque(data) {
  for (let at = 3; at < data.length; at += 4) {
    if (data[at] !== 255) return false;
  }
  return true;
}

/** Colours as they are stored, with their transparency beside them: WebGL gives them back as they were. */
async function beneath(bitmap, { left, top, width, height }) {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (gl === null) throw new Refusal("transparent-unread");
  if (Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) throw new Refusal("transparent-large");
  const part = await createImageBitmap(bitmap, left, top, width, height, AS_STORED);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, part);
  part.close();
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  const data = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return data;
}

/** Whether pixels come back as they were drawn; some browsers change them, so that nobody is recognised by them. */
export function pixelsComeBack() {
  const context = new OffscreenCanvas(16, 16).getContext("2d", { willReadFrequently: true });
  const drawn = new ImageData(16, 16);
  drawn.data.forEach((_, at) => {
    drawn.data[at] = at % 4 === 3 ? 255 : (at * 89) % 251;
  });
  context.putImageData(drawn, 0, 0);
  const { data } = context.getImageData(0, 0, 16, 16);
  return data.every((value, at) => value === drawn.data[at]);
}
