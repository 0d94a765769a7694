"""Measurements that stand behind the documentation, and the pages that are written from them.

Not part of what is installed. A script measures something once, on a quiet machine, and leaves a record in results/:

    python -m studies.rewrites            what each exact rewrite is worth, in every back end
    python -m studies.quantised_siblings  what bf16 and int8 cost in accuracy, on the digits
    python -m studies.quantisation        what `resnexus quantize` costs and gains, on the digits
    python -m studies.read_pdparams       reading the largest checkpoint, against Paddle's own reader
    python -m studies.loading             reading training images, against torchvision's reference
    python -m studies.side_by_side        engines beside each other, in threads and in processes
    python -m studies.engine_memory       memory that an engine takes, each in a process of its own
    python -m studies.dilation            how exact dilation is, ours and timm's
    python -m studies.small_data          accuracy over seeds on images that ship in packages
    python -m studies.web_page            the web page in Chromium, against ONNX Runtime itself
    python -m studies.duplicates          near-duplicates that were planted, and how many are found
    python -m studies.ssld                what pictures without labels are worth to a student, and each step alone
    python -m studies.gpu_bench           our engine on a GPU, against PyTorch, its compiler and timm
    python -m studies.gpu_wheels          what that needs on a machine without a network
    python -m studies.compile_kernels     what our kernels for GPUs take of a multiprocessor, compiled without one
    python -m studies.predict_throughput  pictures answered a second, against torchvision and timm
    resnexus bench                        latencies of networks in every engine

`speed_page`, `gpu_page` and `penalty` turn records into the tables and charts of docs/speed.md and docs/latencies.md,
`gpu_hours`, `small_data`, `dense`, `duplicates`, `ssld` and `quantisation` into those of docs/training.md,
docs/backbones.md, docs/pool.md, docs/ssld.md and docs/quantize.md; tests check that the pages say what the records say,
and write them anew on demand. `shipped` reads the images of `small_data`.
"""
