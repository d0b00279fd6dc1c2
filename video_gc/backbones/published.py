"""Where pytorchvideo's Kinetics-400 weights lie."""

from pytorchvideo.models.hub import resnet, slowfast

PUBLISHED: dict[str, str] = {
    name: url
    for name, url in (resnet.checkpoint_paths | slowfast.checkpoint_paths).items()
    if not name.endswith("_detection")
}
"""Name in the model zoo → URL."""
