"""The machine and the programs on it: devices, processes, Java, and files that prove themselves."""
