"""Setting text and charts with Typst, for paper, slides and appendix."""
