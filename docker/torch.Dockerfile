# The layer of gigabytes: torch and what it needs, shared by all backends with this base and this torch build.
# Installed in a stage of its own, so that the CA bundle and the installer leave no trace.
ARG PARENT
FROM ${PARENT} AS install
LABEL model-matrix.stage=install
# ca.pem is not always there; the bracket makes it a pattern, and a pattern may match nothing.
COPY install *.txt ca.pe[m] /tmp/install/
ARG INDEX
# Empty where all of torch comes from INDEX; else PyTorch's own index, for the three packages of torch-cpu.txt.
ARG TORCH_INDEX
RUN python3 -m venv --without-pip /opt/venv \
 && if [ -n "${TORCH_INDEX}" ]; then \
        INDEX=${INDEX} sh /tmp/install/install --python /opt/venv/bin/python \
            --default-index "${TORCH_INDEX}" --requirement torch-cpu.txt; \
    fi \
 && INDEX=${INDEX} sh /tmp/install/install --python /opt/venv/bin/python \
        --default-index "${INDEX}" --requirement pins.txt

FROM ${PARENT}
COPY --from=install /opt/venv /opt/venv
