//! active-queue
