//! What single characters fold to.

use haris_domain::identifier::digit_value;

pub(super) enum Folded {
    Same,
    /// Invisible, or a mark on its neighbour.
    Gone,
    Char(char),
    /// The characters of its Unicode compatibility form.
    Compatibility,
}

/// Whether a character takes no room on a screen (or none that a reader would notice).
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character that stands alone stays as it is. Look-alikes never do: their neighbours decide.
pub(super) fn stays(c: char) -> bool {
    matches!(fold(c), Folded::Same) && lookalike(c).is_none()
}

pub(super) fn fold(c: char) -> Folded {
    // Latin letters with marks, the bulk of European prose, leave here.
    if matches!(c, '\u{c0}'..='\u{2ff}') {
        return Folded::Same;
    }
    // So do Greek, Cyrillic, and the letters of Chinese, Japanese and Korean.
    if matches!(c, '\u{370}'..='\u{52f}' | '\u{3041}'..='\u{3163}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
    {
        return Folded::Same;
    }
    match c {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => Folded::Char(' '),
        '\u{85}' | '\u{2028}' | '\u{2029}' => Folded::Char('\n'),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => Folded::Char('-'),
        '\u{2018}'..='\u{201b}' => Folded::Char('\''),
        '\u{201c}'..='\u{201f}' | '\u{ab}' | '\u{bb}' => Folded::Char('"'),
        '\u{66b}' => Folded::Char('.'),
        '\u{66c}' => Folded::Char(','),
        // Combining marks, Arabic vowel signs and the stretching tatweel.
        '\u{300}'..='\u{36f}'
        | '\u{610}'..='\u{61a}'
        | '\u{640}'
        | '\u{64b}'..='\u{65f}'
        | '\u{670}'
        | '\u{6d6}'..='\u{6dc}'
        | '\u{6df}'..='\u{6e8}'
        | '\u{6ea}'..='\u{6ed}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{20d0}'..='\u{20ff}' => Folded::Gone,
        c if is_invisible(c) => Folded::Gone,
        // Spellings of one letter that writers and keyboards mix.
        'أ' | 'إ' | 'آ' | 'ٱ' => Folded::Char('ا'),
        'ى' | 'ی' => Folded::Char('ي'),
        'ک' => Folded::Char('ك'),
        'ة' => Folded::Char('ه'),
        '\u{621}'..='\u{63f}' | '\u{641}'..='\u{648}' | 'ي' => Folded::Same,
        _ => match digit_value(c) {
            Some(digit) if !c.is_ascii() => Folded::Char(char::from(b'0' + digit)),
            _ if compatibility(c) => Folded::Compatibility,
            _ => Folded::Same,
        },
    }
}

/// Blocks whose members are other characters in fancy dress: letterlike, enclosed, ligatures,
/// Arabic presentation forms, fullwidth, mathematical.
fn compatibility(c: char) -> bool {
    matches!(c,
        '\u{2100}'..='\u{214f}' | '\u{2460}'..='\u{24ff}' | '\u{fb00}'..='\u{fb06}' | '\u{fb50}'..='\u{fdff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{fe70}'..='\u{fefe}' | '\u{ff01}'..='\u{ff9f}' | '\u{ffa1}'..='\u{ffef}'
        | '\u{1d400}'..='\u{1d7ff}' | '\u{1ee00}'..='\u{1eeff}' | '\u{1f100}'..='\u{1f1e5}')
        && unicode_normalization::UnicodeNormalization::nfkc(c).next() != Some(c)
}

/// Whether `c` is a letter of a script whose letters pass for Latin ones.
pub(super) fn other_script(c: char) -> bool {
    matches!(c, '\u{370}'..='\u{3ff}' | '\u{400}'..='\u{52f}' | '\u{13a0}'..='\u{13ff}' | '\u{531}'..='\u{588}')
}

/// The Latin letter that a Cyrillic, Greek, Armenian or Cherokee one passes for.
pub(super) fn lookalike(c: char) -> Option<char> {
    if !other_script(c) {
        return None;
    }
    Some(match c {
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ё' | 'є' | 'ε' => 'e',
        'ց' => 'g',
        'һ' | 'հ' => 'h',
        'і' | 'ї' | 'ι' => 'i',
        'ј' | 'ϳ' => 'j',
        'к' | 'κ' => 'k',
        'ӏ' => 'l',
        'м' => 'm',
        'п' | 'η' | 'ո' => 'n',
        'о' | 'ο' | 'օ' | 'σ' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'г' => 'r',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' | 'ս' => 'u',
        'ѵ' | 'ν' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        'А' | 'Α' | 'Ꭺ' => 'A',
        'В' | 'Β' | 'Ᏼ' => 'B',
        'С' | 'Ϲ' | 'Ꮯ' => 'C',
        'Ꭰ' => 'D',
        'Е' | 'Ε' | 'Ꭼ' => 'E',
        'Ԍ' | 'Ꮐ' => 'G',
        'Н' | 'Η' | 'Ꮋ' => 'H',
        'І' | 'Ι' | 'Ӏ' => 'I',
        'Ј' | 'Ꭻ' => 'J',
        'К' | 'Κ' | 'Ꮶ' => 'K',
        'Ꮮ' => 'L',
        'М' | 'Μ' | 'Ꮇ' => 'M',
        'Ν' => 'N',
        'О' | 'Ο' => 'O',
        'Р' | 'Ρ' | 'Ꮲ' => 'P',
        'Ѕ' | 'Ꮪ' => 'S',
        'Т' | 'Τ' | 'Ꭲ' => 'T',
        'Ѵ' | 'Ꮩ' => 'V',
        'Ꮃ' => 'W',
        'Х' | 'Χ' => 'X',
        'У' | 'Υ' => 'Y',
        'Ζ' | 'Ꮓ' => 'Z',
        _ => return None,
    })
}
