"""The program: command line, embedded mode, demonstration, generated reference."""
