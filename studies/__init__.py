"""Measurements that stand behind the documentation, and the pages that are written from them.

Not part of what is installed. A script measures something once, on a quiet machine, and leaves a record in results/:

    python -m studies.rewrites            what each exact rewrite is worth, in every back end
    python -m studies.quantised_siblings  what bf16 and int8 cost in accuracy, on the digits
    python -m studies.read_pdparams       reading the largest checkpoint, against Paddle's own reader
    python -m studies.loading             reading training images, against torchvision's reference
    python -m studies.side_by_side        engines beside each other, in threads and in processes
    python -m studies.dilation            how exact dilation is, ours and timm's
    python -m studies.web_page            the web page in Chromium, against ONNX Runtime itself
    python -m studies.duplicates          near-duplicates that were planted, and how many are found
    resnexus bench                        latencies of networks in every engine

`speed_page` and `penalty` turn records into the tables and charts of docs/speed.md and docs/latencies.md, `gpu_hours`
and `dense` into those of docs/training.md and docs/backbones.md; tests check that the pages say what the records say,
and write them anew on demand.
"""
