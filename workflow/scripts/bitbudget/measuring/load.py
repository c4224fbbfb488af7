"""What counts as a loaded machine."""


def loaded(load: float, cores: int) -> bool:
    """Whether more jobs waited for a processor than there are cores."""
    return load > cores + 0.5
