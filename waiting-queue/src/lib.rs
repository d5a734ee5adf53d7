//! waiting-queue
