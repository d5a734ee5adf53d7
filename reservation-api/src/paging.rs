//! Parts of lists: `limit` and `cursor` in, `items` and `next` out.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use edge::Problem;
use kernel::ports::reservations::{Page, PageRange};
use serde::{Deserialize, Serialize};

/// What a list gives when nothing is asked, and at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub usual: usize,
    pub most: usize,
}

pub const LISTS: Bounds = Bounds { usual: 50, most: 200 };
/// A seat map is wanted whole.
pub const SEATS: Bounds = Bounds { usual: 500, most: 1_000 };

/// Which part of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Part {
    /// Items at most.
    limit: Option<usize>,
    /// The `next` of the part before.
    cursor: Option<String>,
}

/// A list, or a part of one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Items<T> {
    pub items: Vec<T>,
    /// The cursor of the next part; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Items<T> {
    pub fn of<R>(page: Page<R>, wire: impl FnMut(R) -> T) -> Self {
        let next = page.next.map(|next| next.to_string());
        Self { items: page.items.into_iter().map(wire).collect(), next }
    }
}

impl Part {
    pub fn range(&self, bounds: Bounds) -> Result<PageRange, Problem> {
        let limit = self.limit.unwrap_or(bounds.usual);
        if !(1..=bounds.most).contains(&limit) {
            return Err(Problem::bad_request("invalid_limit", format!("limit: 1 to {}", bounds.most)));
        }
        let wrong =
            |_| Problem::bad_request("invalid_cursor", "cursor: the `next` of the part before, unchanged");
        let after = self.cursor.as_deref().map(str::parse).transpose().map_err(wrong)?;
        Ok(PageRange { after, limit })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::<Self>::try_from_uri(&parts.uri);
        query.map(|Query(part)| part).map_err(|bad| Problem::bad_request("invalid_query", bad.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(limit: Option<usize>, cursor: Option<&str>) -> Result<PageRange, &'static str> {
        let part = Part { limit, cursor: cursor.map(str::to_owned) };
        part.range(LISTS).map_err(|problem| problem.code)
    }

    #[test]
    fn parts_are_bounded() {
        assert_eq!(range(None, None), Ok(PageRange { after: None, limit: 50 }));
        assert_eq!(range(Some(200), Some("17")), Ok(PageRange { after: Some(17), limit: 200 }));
        assert_eq!(range(Some(0), None), Err("invalid_limit"));
        assert_eq!(range(Some(201), None), Err("invalid_limit"));
        assert_eq!(range(None, Some("x")), Err("invalid_cursor"));
        assert_eq!(range(None, Some("-1")), Err("invalid_cursor"));
    }
}
