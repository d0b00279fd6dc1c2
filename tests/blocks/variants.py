"""Every kind of context block with every option that changes its formula."""

VARIANTS: dict[str, tuple[str, dict]] = {
    "gc": ("gc", {"reduction": 2}),
    "gc scale": ("gc", {"reduction": 2, "fusion": "scale"}),
    "gc both": ("gc", {"reduction": 2, "fusion": "both"}),
    "gc average": ("gc", {"reduction": 2, "pool": "average"}),
    "gc without norm": ("gc", {"reduction": 4, "norm": False}),
    "gc without relu": ("gc", {"reduction": 2, "relu": False}),
    "gc bare": ("gc", {"reduction": 2, "norm": False, "relu": False, "bias": False}),
    "snl": ("snl", {}),
    "snl eq. 2": ("snl", {"transform": "linear_inside"}),
    "snl both": ("snl", {"fusion": "both", "bias": True}),
    "se": ("se", {"reduction": 2}),
    "nl": ("nl", {}),
    "nl without scale": ("nl", {"scale": False}),
    "nl narrow": ("nl", {"reduction": 4}),
    "nl without norm": ("nl", {"norm": False}),
    "nl gaussian": ("nl", {"pairwise": "gaussian"}),
    "nl dot product": ("nl", {"pairwise": "dot_product"}),
    "nl concatenation": ("nl", {"pairwise": "concatenation"}),
    "dnl": ("dnl", {}),
    "dnl cold": ("dnl", {"reduction": 4, "temperature": 0.5}),
    "cc": ("cc", {}),
    "cc once": ("cc", {"recurrences": 1, "scale": False, "reduction": 4}),
}
"""Name → (kind, options); for 8 channels and any number of position axes."""

PAIRWISE = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
SPANS = {"space": [1, 2, 1], "spacetime": [1, 2, 2], "time": [2, 1, 1]}

CLIP_VARIANTS: dict[str, tuple[str, dict]] = {
    f"nl {pairwise} {span} {at}": (
        "nl", {"pairwise": pairwise, "span": span, "pool": pool, "pool_at": at}
    )
    for row, pairwise in enumerate(PAIRWISE)
    for column, (span, pool) in enumerate(SPANS.items())
    for at in [("before", "after")[(row + column) % 2]]
}  # fmt: skip
"""As VARIANTS, but for clips (T, H, W) only; every two of their options meet."""

REPRESENTATIVES = (
    "gc", "gc both", "snl eq. 2", "se", "nl", "nl gaussian", "nl concatenation time after", "dnl",
    "cc",
)  # fmt: skip
"""Every kind, both fusions, pooled keys and each way of computing attention: for what is slow."""
