"""The paper's metrics, retrieval, video alignment, tables and figures."""
