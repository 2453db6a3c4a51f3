"""LeNet-5, the frozen backbones, and the heads on their features."""
