//! Countries, by their two letters: ISO 3166-1 alpha-2, the officially assigned ones.
//!
//! Where a model runs decides whether personal data may reach it, so a slip of the pen must not pass for a place.

/// As assigned on 2026-11-25.
const ASSIGNED: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO \
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE \
    JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO \
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW \
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM \
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// Whether these are a country's two letters, in capitals or not.
pub(crate) fn is_country(text: &str) -> bool {
    text.len() == 2 && ASSIGNED.split(' ').any(|known| known.eq_ignore_ascii_case(text))
}

/// Whether this is a country, or a part of one as ISO 3166-2 writes it: `IE-D`.
pub(crate) fn is_place(text: &str) -> bool {
    let (country, part) = text.split_once('-').map_or((text, None), |(country, part)| (country, Some(part)));
    let plain = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    is_country(country) && part.is_none_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_countries_that_there_are() {
        assert_eq!(ASSIGNED.split(' ').count(), 249);
        for place in ["QA", "qa", "QA-DA", "US", "IE-D", "GB-ENG", "FR-75"] {
            assert!(is_place(place), "{place}");
        }
        for nowhere in ["", "zz9", "ZZ", "XX", "QAX", "Q", "QA-", "QA-DOHA", "QA DA", "Qatar", "AD AE", "EU", "é"] {
            assert!(!is_place(nowhere), "{nowhere}");
        }
    }
}
