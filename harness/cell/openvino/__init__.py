"""OpenVINO's side of a cell: the routes by which a PyTorch checkpoint comes to run on it, and what proves that it did.

Read ``routes`` (the four routes, in the order in which a user would try them), then ``attempts`` (trying them until
one gives the right numbers), then what they are made of: ``traced`` (a model as a function of tensors alone),
``runtime`` (the device, its settings, and the count of what it ran), ``repairs`` (what we change in the libraries),
``outside`` (what PyTorch computed beside it), ``swapped`` (a compiled model in the place of a module's forward pass).
"""
