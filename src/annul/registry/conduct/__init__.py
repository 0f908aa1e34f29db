"""Watch how the register is used: duties and who kept them, misuse and its hearing, the impostor list, abuse of look-ups."""
