"""Phi-3-vision and Phi-3.5-vision: listed, but not available yet."""

ABOUT = "Phi-3-vision [@phi3]"
MODEL_TYPES = ("phi3_v",)
TRACKS = ("captioning", "vqa")
UNAVAILABLE = (
    "Phi-3.5-vision runs only with remote code from its repository, for which there is no adapter yet: "
    "use a model of the family qwen2-vl, idefics3 or llava instead."
)

# The module paths are those of the remote code, so they come with the adapter.
GROUPS: dict[str, tuple[str, ...]] = {}
VISION_MODULES: tuple[str, ...] = ()
