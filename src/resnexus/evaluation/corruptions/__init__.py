"""Pictures made worse on purpose: the corruptions of ImageNet-C, computed here.

Hendrycks and Dietterich 2019, arXiv:1903.12261; strengths are those of the authors' `make_imagenet_c.py`. Every
function takes (H, W, C) float64 in 0..1, C of 1 or 3, the strengths of one severity and a random generator, and returns
the same shape, whose values may leave 0..1: whoever calls cuts them off. Random numbers, borders and rounding are our
own, so that accuracies are comparable with each other and not, to the last figure, with those of the authors' files.
"""
