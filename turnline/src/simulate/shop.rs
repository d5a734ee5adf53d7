//! What can be bought in the room, and the shared view of which seats may still be free.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::chance::Chance;
use super::http::{Api, Call};

/// The seat map is fetched again no more often than this.
const FRESH: Duration = Duration::from_secs(1);
const PAGES_MOST: usize = 200;

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Concert {
    id: String,
    room: String,
}

#[derive(Deserialize)]
struct Date {
    performance_id: String,
}

#[derive(Deserialize)]
struct SeatRow {
    seat_id: String,
    state: String,
    amount_minor: i64,
}

/// A seat that was free when it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    pub performance_id: String,
    pub seat_id: String,
    pub amount_minor: i64,
}

impl Seat {
    pub fn name(&self) -> String {
        format!("{}/{}", self.performance_id, self.seat_id)
    }
}

/// What the seat map says to someone who looks for a seat.
#[derive(Debug)]
pub enum Offer {
    Seat(Seat),
    /// None is free now, but some are only held.
    Held,
    SoldOut,
}

/// The performances of one room and a shared, possibly outdated list of free seats.
pub struct Shop {
    performances: Vec<String>,
    view: Mutex<View>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct View {
    free: Vec<Seat>,
    held: bool,
    at: Option<Instant>,
}

impl Shop {
    /// Finds what the room sells: concerts, their dates, their seats.
    ///
    /// # Errors
    /// In plain words, when there is nothing to buy or a list cannot be read.
    pub async fn find(api: &Api) -> Result<Shop, String> {
        let mut performances = Vec::new();
        let concerts: Vec<Concert> = list(api, "/v1/concerts").await?;
        for concert in concerts.iter().filter(|concert| concert.room == api.room) {
            let dates: Vec<Date> = list(api, &format!("/v1/concerts/{}/dates", concert.id)).await?;
            performances.extend(dates.into_iter().map(|date| date.performance_id));
        }
        if performances.is_empty() {
            return Err(format!("room {} has no performance to buy seats of; run without --buy", api.room));
        }
        let shop = Shop { performances, view: Mutex::default(), fetching: tokio::sync::Mutex::new(()) };
        shop.refresh(api).await?;
        Ok(shop)
    }

    /// A room other than the run's own, if the concerts name one.
    pub async fn other_room(api: &Api) -> Option<String> {
        let concerts: Vec<Concert> = list(api, "/v1/concerts").await.ok()?;
        concerts.into_iter().map(|concert| concert.room).find(|room| *room != api.room)
    }

    /// A seat at random of those believed free, as people choose: two may well choose the same.
    ///
    /// # Errors
    /// When the seat map cannot be read.
    pub async fn offer(&self, api: &Api, chance: &mut Chance) -> Result<Offer, String> {
        for _ in 0..2 {
            {
                let view = self.view();
                if let Some(seat) = view.free.get(chance.below(view.free.len())) {
                    return Ok(Offer::Seat(seat.clone()));
                }
            }
            self.refresh(api).await?;
        }
        Ok(if self.view().held { Offer::Held } else { Offer::SoldOut })
    }

    /// A seat turned out not to be free any more.
    pub fn gone(&self, seat: &Seat) {
        let mut view = self.view();
        if let Some(at) = view.free.iter().position(|free| free == seat) {
            view.free.swap_remove(at);
        }
    }

    /// The seats listed as sold, as `performance/seat`.
    ///
    /// # Errors
    /// When a list cannot be read.
    pub async fn sold(&self, api: &Api) -> Result<BTreeSet<String>, String> {
        let mut sold = BTreeSet::new();
        for performance in &self.performances {
            let rows: Vec<SeatRow> = list(api, &seats_path(performance)).await?;
            let names = rows
                .iter()
                .filter(|row| row.state == "sold")
                .map(|row| format!("{performance}/{}", row.seat_id));
            sold.extend(names);
        }
        Ok(sold)
    }

    /// Fetches the map once for everybody who waits for it; those who come just after take it as it is.
    async fn refresh(&self, api: &Api) -> Result<(), String> {
        let seen = self.view().at;
        let _turn = self.fetching.lock().await;
        let wait = {
            let view = self.view();
            let wait = view.at.map_or(Duration::ZERO, |at| FRESH.saturating_sub(at.elapsed()));
            let others_looked = view.at != seen;
            let sold_out = !view.held && !wait.is_zero();
            if !view.free.is_empty() || others_looked || sold_out {
                return Ok(());
            }
            wait
        };
        tokio::time::sleep(wait).await;
        let mut fresh = View::default();
        for performance in &self.performances {
            let rows: Vec<SeatRow> = list(api, &seats_path(performance)).await?;
            fresh.held |= rows.iter().any(|row| row.state == "held");
            fresh.free.extend(rows.into_iter().filter(|row| row.state == "free").map(|row| Seat {
                performance_id: performance.clone(),
                seat_id: row.seat_id,
                amount_minor: row.amount_minor,
            }));
            if !fresh.free.is_empty() {
                break;
            }
        }
        fresh.at = Some(Instant::now());
        *self.view() = fresh;
        Ok(())
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seats_path(performance: &str) -> String {
    format!("/v1/performances/{performance}/seats")
}

/// All pages of a list; a restart in between is waited out.
async fn list<T: DeserializeOwned>(api: &Api, path: &str) -> Result<Vec<T>, String> {
    let mut chance = Chance::new(0);
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    for _ in 0..PAGES_MOST {
        let address = match &cursor {
            None => path.to_string(),
            Some(cursor) => format!("{path}?cursor={cursor}"),
        };
        let answer = api.call(Call::get(address), &mut chance).await.map_err(|away| away.0)?;
        let page: Page<T> = answer.read().map_err(|why| format!("GET {path}: {why}"))?;
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(items);
        }
    }
    Err(format!("GET {path}: the list does not end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(id: &str) -> Seat {
        Seat { performance_id: "p".into(), seat_id: id.into(), amount_minor: 100 }
    }

    #[tokio::test]
    async fn a_seat_that_is_gone_is_not_offered_again() {
        let view = View { free: vec![seat("1"), seat("2")], held: false, at: Some(Instant::now()) };
        let shop = Shop {
            performances: vec!["p".into()],
            view: Mutex::new(view),
            fetching: tokio::sync::Mutex::new(()),
        };
        let url = reqwest::Url::parse("http://127.0.0.1:9").unwrap();
        let api = Api::new(url, "demo".into(), Duration::ZERO).unwrap();
        let mut chance = Chance::new(5);
        shop.gone(&seat("1"));
        for _ in 0..10 {
            let Ok(Offer::Seat(offered)) = shop.offer(&api, &mut chance).await else {
                panic!("nothing offered")
            };
            assert_eq!(offered, seat("2"));
        }
        // With a map this fresh and nothing held, sold out is believed without asking again.
        shop.gone(&seat("2"));
        assert!(matches!(shop.offer(&api, &mut chance).await, Ok(Offer::SoldOut)));
    }
}
