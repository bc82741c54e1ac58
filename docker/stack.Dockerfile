# A stack on top of torch: in a folder of its own beside torch's, so that torch is not stored a second time.
ARG PARENT
FROM ${PARENT} AS install
LABEL model-matrix.stage=install
COPY install *.txt ca.pe[m] /tmp/install/
ARG INDEX
RUN INDEX=${INDEX} sh /tmp/install/install --python /opt/venv/bin/python --target /opt/stack \
        --default-index "${INDEX}" --requirement pins.txt

FROM ${PARENT}
COPY --from=install /opt/stack /opt/stack
