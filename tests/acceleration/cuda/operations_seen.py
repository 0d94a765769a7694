"""What PyTorch itself runs meanwhile."""

from collections import Counter

from torch.utils._python_dispatch import TorchDispatchMode


class OperationsSeen(TorchDispatchMode):
    """Counts the operations of PyTorch that run while it is entered, by name."""

    def __init__(self):
        super().__init__()
        self.names = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))
