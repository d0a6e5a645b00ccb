"""What the reader agrees to open: a list of demuxers and decoders, and how a playlist looks.

FFmpeg guesses a file's format from its bytes, and some formats are lists of other files to open (hls, concat, dash,
sdp, image2). Nothing here opens a second file.
"""

MAX_SPLIT_CHANNELS = 8

DEMUXERS = (
    "wav", "w64", "flac", "mp3", "ogg", "matroska", "webm", "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "aac", "amr",
    "aiff", "caf", "au", "asf", "avi", "flv", "mpegts", "mpeg", "ac3", "eac3", "wv", "ape", "tta", "voc",
)  # fmt: skip

DECODERS = frozenset((
    "aac", "aac_latm", "ac3", "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "adpcm_yamaha", "alac",
    "amrnb", "amrwb", "ape", "eac3", "flac", "g722", "g723_1", "g726", "g726le", "g729", "gsm", "gsm_ms", "mp1",
    "mp1float", "mp2", "mp2float", "mp3", "mp3float", "nellymoser", "opus", "pcm_alaw", "pcm_bluray", "pcm_dvd",
    "pcm_f32be", "pcm_f32le", "pcm_f64be", "pcm_f64le", "pcm_mulaw", "pcm_s16be", "pcm_s16be_planar", "pcm_s16le",
    "pcm_s16le_planar", "pcm_s24be", "pcm_s24le", "pcm_s24le_planar", "pcm_s32be", "pcm_s32le", "pcm_s32le_planar",
    "pcm_s64be", "pcm_s64le", "pcm_s8", "pcm_s8_planar", "pcm_u16be", "pcm_u16le", "pcm_u24be", "pcm_u24le",
    "pcm_u32be", "pcm_u32le", "pcm_u8", "speex", "truespeech", "tta", "vorbis", "wavpack", "wmalossless", "wmapro",
    "wmav1", "wmav2", "wmavoice",
))  # fmt: skip

COUNTED_TIMESTAMPS = frozenset(("mp3", "aac", "ac3", "eac3", "amr"))
"""Formats without timestamps of their own: the demuxer counts the packets it found, so what damage swallowed has to be
worked out from bytes."""

STATED_DURATION = frozenset((
    "wav", "w64", "flac", "mov", "matroska", "aiff", "caf", "au", "asf", "avi", "flv", "wv", "ape", "tta",
))  # fmt: skip
"""Formats whose header says how long the whole file is. Elsewhere FFmpeg estimates from the bit rate or reads the end
of what is there, neither of which tells that something is missing. (mp3 says it where it has a Xing or VBRI
header.)"""

MEASURED_DURATION = frozenset(("ogg",))
"""Formats whose length FFmpeg reads from their last page: right, though it can't tell that something is missing."""

SEEKABLE = frozenset(("wav", "w64", "flac", "mov", "matroska", "ogg", "aiff", "caf"))
"""Formats with which a seek lands where it says it does."""

_PLAYLIST_MARKS = (
    b"#extm3u", b"#ext-x-", b"ffconcat ", b";ffmetadata", b"[playlist]", b"[reference]", b"<asx", b"<smil", b"<mpd",
    b"<smoothstreamingmedia", b"<manifest", b"rtsptext", b"v=0\r\n", b"v=0\n",
)  # fmt: skip


def looks_like_playlist(head: bytes) -> bool:
    """Whether `head`, the first bytes of a file, begins a list of other files or addresses."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1024].lower()
    if text.startswith(b"<?xml"):
        return any(mark in text for mark in _PLAYLIST_MARKS if mark.startswith(b"<"))
    return text.startswith(_PLAYLIST_MARKS)
