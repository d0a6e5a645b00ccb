"""The quick starts in a cluster."""

STREAMING, QUEUE, KAFKA = "quickstart-oke-streaming", "quickstart-oke-queue", "quickstart-kubernetes-kafka"
PAGES = (STREAMING, QUEUE, KAFKA)
