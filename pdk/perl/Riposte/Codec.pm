# JSON (RFC 8259), since what Perl brings along for it is slow or not there everywhere. Texts are characters, not bytes. What cannot be read or written
# dies with a text that says why.
package Riposte::Codec;
use v5.36;
no warnings qw(experimental recursion);

use constant DEPTH => 200;    # levels of arrays and objects within each other

sub wrong ($wanted) {
    my $at    = pos() // 0;
    my $found = /\G([\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*)/gc ? "'$1'" : 'the end';
    utf8::decode($found);
    die "byte $at: found $found, expected $wanted\n";
}

my %escapes = ('"' => '"', '\\' => '\\', '/' => '/', b => "\b", f => "\f", n => "\n", r => "\r", t => "\t");

# Reads what stands behind \u. Half of a pair of UTF-16 becomes U+FFFD.
sub read_escape () {
    my $code = /\G([0-9a-fA-F]{4})/gc ? hex $1 : wrong('four hexadecimal digits');
    my $low = $code >= 0xD800 && $code <= 0xDBFF && /\G\\u([dD][c-fC-F][0-9a-fA-F]{2})/gc ? hex $1 : 0;
    $code = $low ? 0x10000 + (($code - 0xD800) << 10) + $low - 0xDC00 : 0xFFFD if $code >= 0xD800 && $code <= 0xDFFF;
    utf8::encode(my $bytes = chr $code);
    return $bytes;
}

# The readers read from $_, which holds bytes, behind what was read before.
sub read_string () {
    my $text = '';
    while () {
        $text .= $1 if /\G([^"\\\x00-\x1f]+)/gc;
        last if /\G"/gc;
        /\G\\/gc or wrong(/\G\z/gc ? 'a "' : 'no control character in a text');
        $text .= /\Gu/gc ? read_escape() : /\G(["\\\/bfnrt])/gc ? $escapes{$1} : wrong('an escape');
    }
    utf8::decode($text);
    return $text;
}

sub read_array ($depth) {
    my @list;
    return \@list if /\G\]/gc;
    while () {
        push @list, read_value($depth);
        return \@list if /\G\]/gc;
        /\G,/gc or wrong(', or ]');
    }
}

sub read_object ($depth) {
    my %object;
    return \%object if /\G\}/gc;
    while () {
        /\G[ \t\n\r]*"/gc or wrong('a name');
        my $name = read_string();
        /\G[ \t\n\r]*:/gc or wrong('a colon');
        $object{$name} = read_value($depth);
        return \%object if /\G\}/gc;
        /\G,/gc or wrong(', or }');
    }
}

# Reads a value and the space around it.
sub read_value ($depth) {
    my $value;
    /\G[ \t\n\r]+/gc;
    if (/\G"/gc) { $value = read_string() }
    elsif (/\G([\[{])[ \t\n\r]*/gc) {
        wrong('no deeper nesting') if $depth == DEPTH;
        $value = $1 eq '[' ? read_array($depth + 1) : read_object($depth + 1);
    }
    elsif (/\G(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)/gc) {
        $value = 0 + $1;
        die "the number $1 cannot be held\n" if $value - $value != 0;
    }
    elsif (/\Gtrue/gc)  { $value = !!1 }
    elsif (/\Gfalse/gc) { $value = !!0 }
    elsif (!/\Gnull/gc) { wrong('a value') }
    /\G[ \t\n\r]+/gc;
    return $value;
}

# Reads JSON: objects are hashes, true and false are Perl's own, null is undef.
sub decode ($text) {
    die "there is no text\n" unless defined $text;
    utf8::encode($text);
    local $_ = $text;
    my $value = read_value(0);
    wrong('the end') unless /\G\z/gc;
    return $value;
}

my %escaped = map { chr, sprintf '\\u%04x', $_ } 0 .. 31;
@escaped{ @escapes{ grep { $_ ne '/' } keys %escapes } } = map { "\\$_" } grep { $_ ne '/' } keys %escapes;

sub write_string ($text) { return '"' . $text =~ s/(["\\\x00-\x1f])/$escaped{$1}/gr . '"' }

sub write_number ($number) {
    die "$number is no JSON\n" if $number - $number != 0;
    my $text = "$number";
    return $text if index($text, '.') < 0 && index($text, 'e') < 0;
    for my $digits (15 .. 17) {
        $text = sprintf "%.${digits}g", $number;
        return $text if $text == $number;
    }
}

sub write_value ($value, $depth) {
    my $kind = ref $value;
    return 'null' unless defined $value;
    if ($kind eq 'HASH' || $kind eq 'ARRAY') {
        die "it is nested too deeply, or lies within itself\n" if $depth == DEPTH;
        return '[' . join(',', map { write_value($_, $depth + 1) } @$value) . ']' if $kind eq 'ARRAY';
        return '{' . join(',', map { write_string($_) . ':' . write_value($value->{$_}, $depth + 1) } sort keys %$value) . '}';
    }
    die "a $kind is no JSON\n" if $kind;
    return $value ? 'true' : 'false' if builtin::is_bool($value);
    return write_number($value) if builtin::created_as_number($value);
    return write_string($value);
}

# Writes JSON, members of objects in the order of their names. What was made as a number is one, and what is a text stays one.
sub encode ($value) { return write_value($value, 0) }

1;
