"""WHAT IS PRINTED FOR THOSE WHO ARE OFFLINE: editions of the listings, supplements, and who may read them.

This room promises: an edition is built from one consistent state of the register, asked again about every document it covers,
signed, signed again by a second key, and only then published; what is published never changes.

    universe   which documents an edition covers, and what the register says of them
    kernels    the inner loops: bands, solutions, questions in batches
    build      universe -> file, asked again
    press      manifests, the two signatures, publication, who may read (edges)
    changes    supplements: what changed since an edition

What must never happen here: an edition that was not asked again completely; a published file that is replaced.
"""
