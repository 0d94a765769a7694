// Why a picture has no answer: a code for programs, a sentence for people.

const SENTENCES = {
  empty: "The file is empty.",
  "too-large-file": "The file is larger than 1 GiB.",
  "not-an-image": "This is not a picture that can be read. JPEG, PNG, WebP, BMP, GIF and AVIF can.",
  tiff: "Browsers do not read TIFF. Save the picture as PNG or JPEG.",
  "four-inks": "This JPEG is made for print, in four inks (CMYK), and browsers change its colours. Save it as RGB.",
  turned: "This WebP is to be turned before it is shown, which browsers do not do alike. Save it as it is seen.",
  damaged: "The file is damaged or cut short.",
  "too-large": "The picture has more than 89 million pixels, or a side of more than 65,535. Scale it down.",
  "too-long": "The picture is too long for its width. Cut it.",
  "transparent-large": "The picture is transparent and too large for this browser. Scale it down.",
  "transparent-unread": "The picture is transparent, and this browser does not tell the colours beneath (no WebGL).",
};

/** A picture that is refused. */
export class Refusal extends Error {
  constructor(code) {
    super(SENTENCES[code]);
    this.code = code;
  }
}
