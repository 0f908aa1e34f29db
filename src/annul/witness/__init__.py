"""WHO ELSE HAS SEEN IT: witnesses, who cosign checkpoints of logs that only grew. annul asks them, and can be one.

This room promises: a witness cosigns nothing that is not consistent with everything it cosigned before, also after a crash and
also when asked twice at once; asking never stops the sealer, and what witnesses answer is verified before it is kept.

    Witness(folder).add_checkpoint(body)      the rules of a witness: bytes in, answer out
    rounds(home, stop)                        ask all witnesses of this register, again and again

Source: https://c2sp.org/tlog-witness, https://c2sp.org/tlog-cosignature.
"""
