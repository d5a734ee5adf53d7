//! How many connections this process may hold.

use super::args::Medium;

/// Sockets beside those of the visitors: HTTP calls, samples, files, the terminal.
pub const HTTP_AT_ONCE: u64 = 256;
const BESIDE: u64 = HTTP_AT_ONCE * 3 + 64;

/// Raises the soft limit of open files to the hard one and checks that the visitors fit.
///
/// # Errors
/// In plain words, when they do not.
pub fn make_room(visitors: u32, medium: Medium) -> Result<(), String> {
    fits(visitors, medium, crate::limits::raise_open_files())
}

fn fits(visitors: u32, medium: Medium, allowed: Option<u64>) -> Result<(), String> {
    let sockets = match medium {
        Medium::WebSocket | Medium::Events => u64::from(visitors),
        Medium::Poll => 0,
    };
    match allowed {
        Some(allowed) if sockets + BESIDE > allowed => Err(format!(
            "{visitors} visitors need {} open sockets and this process may have {allowed} (ulimit -Hn): \
             at most {} visitors fit; raise the hard limit, use --poll, or run several simulate side by side",
            sockets + BESIDE,
            allowed.saturating_sub(BESIDE),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_are_refused_with_the_number_that_fits() {
        assert!(fits(19_000, Medium::WebSocket, Some(20_000)).is_ok());
        let refusal = fits(20_000, Medium::WebSocket, Some(20_000)).unwrap_err();
        assert!(refusal.contains("at most 19168 visitors"), "{refusal}");
        assert!(fits(1_000_000, Medium::Poll, Some(1_024)).is_ok());
        assert!(fits(1_000_000, Medium::Events, None).is_ok());
    }
}
