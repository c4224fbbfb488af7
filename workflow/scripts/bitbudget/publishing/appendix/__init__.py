"""The appendix: on one page, everything that another person needs to run the study again and compare."""
