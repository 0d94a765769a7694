// The large files: within the page, or beside it.

/** The bytes of a file of `settings.files`, an ArrayBuffer; throws an Error whose message is for people. */
export async function asset(name, files) {
  const holder = document.getElementById(`embedded-${name}`);
  if (holder === null) return fetched(files[name]);
  const packed = fromBase64(holder.textContent);
  holder.remove();
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).arrayBuffer();
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

async function fetched(address) {
  if (location.protocol === "file:") {
    throw new Error(
      "This folder needs a web server: run python -m http.server in it and open http://localhost:8000. " +
        "A page made with --single-file needs none.",
    );
  }
  const response = await fetch(address).catch(() => null);
  if (!response?.ok) throw new Error(`The file ${address} beside this page cannot be fetched.`);
  return response.arrayBuffer();
}
