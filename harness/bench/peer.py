"""optimum-benchmark on one checkpoint, as its documentation has it: a process of its own for the model.

``python harness/bench/peer.py FOLDER TASK`` runs on the environment of docker/pins/peer.txt, which has nothing of ours.
"""

import sys


def main() -> None:
    """Latency of a forward pass, as often as a cell's: 2 calls to warm up, 20 measured."""
    from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, ProcessConfig, PyTorchConfig

    folder, task = sys.argv[1:]
    config = BenchmarkConfig(
        name="peer",
        launcher=ProcessConfig(device_isolation=False),
        scenario=InferenceConfig(
            latency=True, memory=False, energy=False, warmup_runs=2, iterations=20, duration=0,
            input_shapes={"batch_size": 2, "sequence_length": 12},
            generate_kwargs={"max_new_tokens": 8, "min_new_tokens": 8},
        ),
        backend=PyTorchConfig(model=folder, task=task, device="cpu"),
    )  # fmt: skip
    report = Benchmark.launch(config)
    sys.stdout.write(f"{report.to_dict()}\n")


if __name__ == "__main__":
    main()
