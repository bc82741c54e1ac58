# What runs. The harness comes last, since it changes most.
ARG PARENT
FROM ${PARENT}
ARG STACK
ARG TORCH_BUILD
# HOME and USER: the user is whoever owns the results, whom this image does not know by name.
# One thread for each child: several children run side by side, and figures stay repeatable.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/stack \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    USER=matrix \
    HF_HUB_OFFLINE=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    TOKENIZERS_PARALLELISM=false \
    OMP_NUM_THREADS=1 \
    HARNESS_ENGINE=docker \
    HARNESS_STACK=${STACK} \
    HARNESS_TORCH_BUILD=${TORCH_BUILD}
WORKDIR /opt/app
USER 10001:10001
ENTRYPOINT ["python", "-m", "harness"]
COPY harness /opt/app/harness
