// A picture from the camera, as a file without loss.

/** Whether the camera is asked for or its dialog is open: a second stream would stay on when that closes. */
let cameraIsTaken = false;

/** Open the camera's dialog; `taken` is called with a File. Throws an Error whose message is for people. */
export async function openCamera(taken) {
  if (cameraIsTaken) return;
  if (!navigator.mediaDevices) {
    throw new Error("This browser gives the page no camera: it does so over https, on localhost and to files.");
  }
  cameraIsTaken = true;
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }).catch(() => null);
  if (stream === null) {
    cameraIsTaken = false;
    throw new Error("There is no camera, or the browser was not allowed to use it.");
  }
  const dialog = document.getElementById("camera-dialog");
  const video = dialog.querySelector("video");
  const shutter = dialog.querySelector(".shutter");
  video.srcObject = stream;
  shutter.onclick = async () => {
    taken(await photograph(video));
    dialog.close();
  };
  dialog.querySelector(".close").onclick = () => dialog.close();
  dialog.onclose = () => {
    cameraIsTaken = false;
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    shutter.disabled = true;
  };
  dialog.showModal();
  await video.play().catch(() => null); // It was closed before it began.
  shutter.disabled = !dialog.open;
}

async function photograph(video) {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  const picture = await canvas.convertToBlob({ type: "image/png" });
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", ".");
  return new File([picture], `camera ${time}.png`, { type: "image/png" });
}
