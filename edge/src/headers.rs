//! Headers that carry who is calling and which call it is.

use axum::http::{HeaderMap, header};

use crate::problem::Problem;

/// The token of `Authorization: Bearer …`; absent when there is no such header.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let wrong = || Problem::unauthorized("invalid_authorization", "send Authorization: Bearer and one token");
    let (scheme, token) = value.to_str().map_err(|_| wrong())?.split_once(' ').ok_or_else(wrong)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ') {
        Ok(Some(token))
    } else {
        Err(wrong())
    }
}

/// The `Idempotency-Key`: 1 to 255 visible ASCII characters; absent when there is no such header.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    let good = (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if good && values.next().is_none() {
        Ok(Some(key))
    } else {
        let detail = "an Idempotency-Key is one header of 1 to 255 visible characters";
        Err(Problem::bad_request("invalid_idempotency_key", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn only_one_bearer_token_counts() {
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
        assert_eq!(bearer(&headers("authorization", "bearer abc")).unwrap(), Some("abc"));
        for wrong in ["abc", "Basic abc", "Bearer ", "Bearer a b"] {
            assert_eq!(bearer(&headers("authorization", wrong)).unwrap_err().status, 401, "{wrong}");
        }
    }

    #[test]
    fn keys_are_bounded() {
        assert_eq!(idempotency_key(&headers("idempotency-key", "k")).unwrap(), Some("k"));
        for wrong in ["", "a b", &"k".repeat(256)] {
            assert!(idempotency_key(&headers("idempotency-key", wrong)).is_err(), "{wrong:?}");
        }
    }
}
