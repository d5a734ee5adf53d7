//! What every server of this measurement tells: a text as long as ours, another one for each socket and tick.

/// Longer than any text here.
const ROOM: usize = 192;
/// Ahead of all who listen, in our room as in everybody's figures: so that none of them is called meanwhile.
pub const FRONT: u64 = 3_000;

/// A text made on the stack.
pub struct Figure {
    bytes: [u8; ROOM],
    length: usize,
}

impl Figure {
    /// Of the `nth` socket, after so many ticks, in a line of `sockets` behind the front that moves by one a tick.
    pub fn of(nth: u64, ticks: u64, sockets: u64) -> Self {
        let position = (FRONT + nth + 1).saturating_sub(ticks).max(1);
        let mut figure = Self { bytes: [0; ROOM], length: 0 };
        figure.put(br#"{"type":"position","position":"#);
        figure.number(position);
        figure.put(br#","ahead":"#);
        figure.number(position - 1);
        figure.put(br#","waiting":"#);
        figure.number((FRONT + sockets).saturating_sub(ticks));
        figure.put(br#","eta_seconds":"#);
        figure.number(position);
        figure.put(br#","eta_low_seconds":"#);
        figure.number(position * 5 / 12);
        figure.put(br#","eta_high_seconds":"#);
        figure.number(position * 5 / 2);
        figure.put(b"}");
        figure
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    fn put(&mut self, part: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + part.len()) {
            room.copy_from_slice(part);
            self.length += part.len();
        }
    }

    fn number(&mut self, number: u64) {
        let (mut digits, mut at, mut left) = ([0_u8; 20], 20, number);
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.put(&digits[at..]);
    }
}

/// The count of those who wait in a text of this form: the same in all texts of one tick, another in the next.
pub fn waiting_in(text: &[u8]) -> Option<u64> {
    const NAME: &[u8] = br#""waiting":"#;
    let at = text.windows(NAME.len()).position(|window| window == NAME)?;
    let digits = text.get(at + NAME.len()..)?.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_the_form_of_ours() {
        let told = Figure::of(6, 2, 15_000).text();
        let ours = r#"{"type":"position","position":3005,"ahead":3004,"waiting":17998,"eta_seconds":3005,"eta_low_seconds":1252,"eta_high_seconds":7512}"#;
        assert_eq!(told, ours);
        assert_eq!(waiting_in(told.as_bytes()), Some(17_998));
        assert_eq!(waiting_in(br#"{"type":"room","state":"open"}"#), None);
    }

    #[test]
    fn the_longest_figure_fits() {
        let told = Figure::of(u64::from(u32::MAX), 0, u64::from(u32::MAX)).text();
        assert!(told.ends_with('}'), "{told}");
    }
}
