"""Publishing: paper, slides, appendix, page, figures and archive."""
