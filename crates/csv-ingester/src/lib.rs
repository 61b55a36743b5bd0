//! csv-ingester
