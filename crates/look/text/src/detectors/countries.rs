//! Codes of countries: ISO 3166 numeric, telephone, and the lengths of IBANs.

/// ISO 3166-1 numeric codes, and those that Qatar still finds in old records.
const NUMERIC: &[u16] = &[
    4, 8, 10, 12, 16, 20, 24, 28, 31, 32, 36, 40, 44, 48, 50, 51, 52, 56, 60, 64, 68, 70, 72, 74, 76, 84, 86, 90, 92,
    96, 100, 104, 108, 112, 116, 120, 124, 132, 136, 140, 144, 148, 152, 156, 158, 162, 166, 170, 174, 175, 178, 180,
    184, 188, 191, 192, 196, 203, 204, 208, 212, 214, 218, 222, 226, 231, 232, 233, 234, 238, 239, 242, 246, 248, 250,
    254, 258, 260, 262, 266, 268, 270, 275, 276, 288, 292, 296, 300, 304, 308, 312, 316, 320, 324, 328, 332, 334, 336,
    340, 344, 348, 352, 356, 360, 364, 368, 372, 376, 380, 384, 388, 392, 398, 400, 404, 408, 410, 414, 417, 418, 422,
    426, 428, 430, 434, 438, 440, 442, 446, 450, 454, 458, 462, 466, 470, 474, 478, 480, 484, 492, 496, 498, 499, 500,
    504, 508, 512, 516, 520, 524, 528, 531, 533, 534, 535, 540, 548, 554, 558, 562, 566, 570, 574, 578, 580, 581, 583,
    584, 585, 586, 591, 598, 600, 604, 608, 612, 616, 620, 624, 626, 630, 634, 638, 642, 643, 646, 652, 654, 659, 660,
    662, 663, 666, 670, 674, 678, 682, 686, 688, 690, 694, 702, 703, 704, 705, 706, 710, 716, 724, 728, 729, 732, 736,
    740, 744, 748, 752, 756, 760, 762, 764, 768, 772, 776, 780, 784, 788, 792, 795, 796, 798, 800, 804, 807, 818, 826,
    831, 832, 833, 834, 840, 850, 854, 858, 860, 862, 876, 882, 887, 891, 894,
];

/// Whether a country has that ISO 3166-1 numeric code.
pub(crate) fn is_numeric_code(code: u32) -> bool {
    u16::try_from(code).is_ok_and(|code| NUMERIC.binary_search(&code).is_ok())
}

/// The lengths of IBANs, from the SWIFT registry.
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// How long that country's IBANs are.
pub(crate) fn iban_length(country: [u8; 2]) -> Option<usize> {
    let index = IBAN_LENGTHS.binary_search_by(|(code, _)| (*code).cmp(&country)).ok()?;
    Some(IBAN_LENGTHS[index].1)
}

/// Telephone country codes with the fewest and most digits of a whole number, code included
/// (national plans; where a plan is open, what is in use).
const TELEPHONE: &[(&str, usize, usize)] = &[
    ("1", 11, 11),
    ("20", 11, 12),
    ("211", 12, 12),
    ("212", 12, 12),
    ("213", 11, 12),
    ("216", 11, 11),
    ("218", 11, 12),
    ("221", 12, 12),
    ("222", 11, 11),
    ("233", 12, 12),
    ("234", 11, 13),
    ("249", 12, 12),
    ("251", 12, 12),
    ("252", 11, 12),
    ("253", 11, 11),
    ("254", 12, 12),
    ("255", 12, 12),
    ("256", 12, 12),
    ("27", 11, 11),
    ("30", 12, 12),
    ("31", 11, 11),
    ("32", 10, 11),
    ("33", 11, 11),
    ("34", 11, 11),
    ("351", 12, 12),
    ("352", 9, 12),
    ("353", 10, 12),
    ("355", 11, 12),
    ("356", 11, 11),
    ("357", 11, 11),
    ("358", 9, 13),
    ("359", 11, 12),
    ("36", 10, 11),
    ("370", 11, 11),
    ("371", 11, 11),
    ("372", 10, 11),
    ("373", 11, 11),
    ("374", 11, 11),
    ("375", 12, 12),
    ("380", 12, 12),
    ("381", 11, 12),
    ("385", 11, 12),
    ("386", 11, 11),
    ("387", 11, 11),
    ("389", 11, 11),
    ("39", 10, 13),
    ("40", 11, 11),
    ("41", 11, 11),
    ("420", 12, 12),
    ("421", 12, 12),
    ("43", 10, 13),
    ("44", 11, 12),
    ("45", 10, 10),
    ("46", 9, 12),
    ("47", 10, 10),
    ("48", 11, 11),
    ("49", 9, 13),
    ("51", 10, 11),
    ("52", 12, 13),
    ("54", 12, 13),
    ("55", 12, 13),
    ("56", 11, 11),
    ("57", 12, 12),
    ("58", 12, 12),
    ("60", 10, 12),
    ("61", 11, 11),
    ("62", 10, 14),
    ("63", 11, 12),
    ("64", 10, 12),
    ("65", 10, 10),
    ("66", 10, 11),
    ("673", 10, 10),
    ("7", 11, 11),
    ("81", 11, 12),
    ("82", 10, 12),
    ("84", 11, 12),
    ("852", 11, 11),
    ("853", 11, 11),
    ("855", 11, 12),
    ("86", 12, 13),
    ("880", 12, 13),
    ("886", 11, 12),
    ("90", 12, 12),
    ("91", 12, 12),
    ("92", 11, 12),
    ("93", 11, 11),
    ("94", 11, 11),
    ("95", 10, 12),
    ("960", 10, 10),
    ("961", 10, 11),
    ("962", 11, 12),
    ("963", 11, 12),
    ("964", 12, 13),
    ("965", 11, 11),
    ("966", 11, 12),
    ("967", 11, 12),
    ("968", 11, 11),
    ("970", 11, 12),
    ("971", 11, 12),
    ("972", 11, 12),
    ("973", 11, 11),
    ("974", 11, 11),
    ("975", 10, 11),
    ("976", 11, 11),
    ("977", 11, 13),
    ("98", 12, 12),
    ("992", 12, 12),
    ("993", 11, 11),
    ("994", 12, 12),
    ("995", 12, 12),
    ("996", 12, 12),
    ("998", 12, 12),
];

/// Fewest and most digits, country code included, of an international number that starts with
/// `digits` (values, not characters).
pub(crate) fn telephone_lengths(digits: &[u8]) -> Option<(usize, usize)> {
    TELEPHONE
        .iter()
        .find(|(code, ..)| code.len() <= digits.len() && code.bytes().zip(digits).all(|(c, digit)| c - b'0' == *digit))
        .map(|(_, fewest, most)| (*fewest, *most))
}

/// ISO 3166 two-letter codes, as a bank identifier code carries them.
const ALPHA_2: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK \
FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM \
JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS \
MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM \
US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

/// Whether a country has that two-letter code, in capitals.
pub(crate) fn is_alpha_code(code: &str) -> bool {
    code.len() == 2 && ALPHA_2.split(' ').any(|known| known == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_can_be_searched() {
        assert!(NUMERIC.is_sorted());
        assert!(IBAN_LENGTHS.is_sorted());
        assert!(TELEPHONE.is_sorted());
        assert_eq!(iban_length(*b"QA"), Some(29));
        assert_eq!(telephone_lengths(&[9, 7, 4, 5]), Some((11, 11)));
        assert!(is_numeric_code(634) && !is_numeric_code(635));
        assert!(is_alpha_code("QA") && !is_alpha_code("QQ"));
    }
}
