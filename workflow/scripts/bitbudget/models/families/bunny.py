"""Bunny (He et al., arXiv 2402.11530): listed, but not available yet."""

ABOUT = "Bunny [@he2024bunny]"
MODEL_TYPES = ("bunny-phi", "bunny-phi3", "bunny-llama")
TRACKS = ("captioning", "vqa")
UNAVAILABLE = (
    "Bunny runs only with remote code from its repository, for which there is no adapter yet: "
    "use a model of the family qwen2-vl, idefics3 or llava instead."
)

# The module paths are those of the remote code, so they come with the adapter.
GROUPS: dict[str, tuple[str, ...]] = {}
VISION_MODULES: tuple[str, ...] = ()
