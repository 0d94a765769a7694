// The network: ONNX Runtime on the processor, or on the graphics if that was asked for and works.

const MOST_THREADS = 4;

let runtime = null;
let model = null;
let names = null;
let session = null;

/**
 * Open the runtime and keep the model; `use` then says where it runs.
 *
 * `files` holds {runtime, wasm, model} as ArrayBuffers; `interface_` names the model's input, its logits and, if it has
 * them, its maps: {input, logits, maps}.
 */
export async function openRuntime(files, interface_) {
  // The address stays: the runtime starts its threads from it.
  runtime = await import(URL.createObjectURL(new Blob([files.runtime], { type: "text/javascript" })));
  runtime.env.wasm.wasmBinary = files.wasm;
  // Threads share memory, which a browser allows only to pages that their server isolates.
  runtime.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  runtime.env.logLevel = "error";
  model = new Uint8Array(files.model);
  names = interface_;
}

/**
 * Run on `"wasm"` or `"webgpu"`, and answer once, which takes longer than later.
 *
 * Returns {device, threads, reason}: where it runs, and why that is not what was asked for, or null.
 */
export async function use(device, shape) {
  if (device === "webgpu") {
    const missing = await missingGraphics();
    if (missing === null) {
      try {
        await opened("webgpu", shape);
        return { device, threads: 1, reason: null };
      } catch (error) {
        return { ...(await use("wasm", shape)), reason: `The graphics processor failed: ${error.message}` };
      }
    }
    return { ...(await use("wasm", shape)), reason: missing };
  }
  await opened("wasm", shape);
  return { device: "wasm", threads: runtime.env.wasm.numThreads, reason: null };
}

/** Answer for one prepared picture: {logits, maps}; maps are {data, height, width}, or null if the model has none. */
export async function answered(input, shape) {
  const tensor = new runtime.Tensor("float32", input, shape);
  const results = await session.run({ [names.input]: tensor });
  const maps = names.maps === null ? null : results[names.maps];
  return {
    logits: results[names.logits].data,
    maps: maps && { data: maps.data, height: maps.dims[2], width: maps.dims[3] },
  };
}

async function opened(device, shape) {
  await session?.release();
  session = null;
  session = await runtime.InferenceSession.create(model, {
    executionProviders: [device],
    graphOptimizationLevel: "all",
  });
  await answered(new Float32Array(shape.reduce((a, b) => a * b)), shape);
}

async function missingGraphics() {
  if (!navigator.gpu) return "This browser has no WebGPU.";
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return adapter === null ? "WebGPU finds no graphics processor here." : null;
}
