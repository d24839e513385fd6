"""JPEG files of every kind for tests: made by OpenCV and Pillow, and four that neither can make, kept as text.

The four are an 11×19 pattern written by libjpeg-turbo's `cjpeg -quality 60`.
"""

import base64
import io
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

UInt8Array = NDArray[np.uint8]

SAMPLINGS = ("444", "422", "420", "440", "411")

_KEPT = {
    "sampled 3x1": (  # -sample 3x1
        "c-s4a<NpH&0WUXCHwH#V1_nkTWcYuZ!I^=VlZ%^+gO{6&n~#r|Usyp@SV%}%T}Dn^K~K}rKu=Rw$Jolt&e+V&Tu0X-"
        "+|kX)FDN+3$Sx`|Dj>ltFvuTd2qPaKpRk~?ny9Fnzp1XNKgr<#0R}-125tsnW=2B>CP7AKLB{__803NOWMu>c1}I=;VrF4wW9I-"
        "m8mM5a00R>vGcywlGb<|#3sANeD9^wm$SS00=*T7<n8>bFC}Pw&aUqAY)5e3MK^H%$7$+4qadL@?OGrwos;O&eYMGdtnOj&|IlH*"
        "JxqEne1&4%&g-"
        "1k2C8wmOrDtSj6_=Ejl~+_&HMg|3wRd!OO`1Gq>a^)IX3ko)c*)Xb%U7&iwQ2K~t=qQm*tzS_;Uh<n9Y1mM)TPT;u3o!-"
        "<L0f0j~+jH`t13Om#;p4`uyeVx9>lG{sQ@nk%5^J2C(`|5a=%^78Yg}c96dqnaV*51X)-"
        "W4cUYo1KAS`g_VpNIYgW$F5GyKQ`tD^gJ@FGMJ_QFlZUDwL0$v<j5v=qk>xYE#}NLy#lXYN2#h>tK?Zw<=L#3BYUVG^bX-"
        "vK)81>>E_UW8f3<h(9;;sVqiUBdi-7C#6WU%JN{^q2mN<&BpU{53>E`L_#m#(o`~Tkr0CvRj=l"
    ),
    "sampled 1x4": (  # -sample 1x4
        "c-s4a<NpH&0WUXCHwH#V1_nkTWcYuZ!I^=VlZ%^+gO{6&n~#r|Usyp@SV%}%T}Dn^K~K}rKu=Rw$Jolt&e+V&Tu0X-"
        "+|kX)FDN+3$Sx`|Dj>ltFvuTd2qPaKpRk~?ny9Fnzp1XNKgr<#0R}-125tsnW=0VPCP7AKLB{__803NOWMu>c1}I=;VrF4wW9I-"
        "m8mM5a00R>vGcywlGb<|#3sANeD9^wm$SS00=*T7<n8>bFC}Pw&aUqAY)5e3MK^H%$7$+4qadL@?OGrwos;O&eYMGdtnOj&|IlH*"
        "JxqEne1&4%&g-"
        "1k2C8wmOrDtSj6_=Ejl~+_&HMg|3wRd!OO`1Gq>a^)IX3ko)c*)Xb%U7&iwQ2K~t=qQm*tzS_;Uh<n9Y1mM)TPT;u3o!-"
        "<L0f0j~+jH`t13Om#;p4`uyeVx9>lG{sQ@nk%5^J2C(`|5a=%^78Yg}c96dqnaV*51X)-"
        "W4cUYo1KAS`g_VpNIYgW$F5GyKQ`tD^gJ@FGMJ_QFlZUDwL0$v<j5v=qk>xYE#}NLy#lXYN2#h>tK?Zw<=L#3BYUVF3|KKPtudt}"
        "==P!v>_s<j@TJn3&6e)K9$zRs}<4}71L?kfoEKg|uGi$}5+H<BQeC#KGh1V%`GlL|i6o#(-D9g3v_x%4i0lhr>;{"
    ),
    "arithmetic": (  # -arithmetic
        "c-s4a<NpH&0WUXCHwH#V1_nkTWcYuZ!I^=VlZ%^+gO{6&n~#r|Usyp@SV%}%T}Dn^K~K}rKu=Rw$Jolt&e+V&Tu0X-"
        "+|kX)FDN+3$Sx`|Dj>ltFvuTd2qPaKpRk~?ny9Fnzp1XNKgr<#Nd`d<25tsnW=16jCP7AKLB{`Q7`PY&1Xvjb1X=&zV&GwB1WGUq"
        "GT1ZxXGod0^-}F_HOp_Y$A2(xvt6qHq$Vn&{CRBOLVbg3%SqNZB8AO&xWye&J2#Oz{`Azvj*lAt-vj`qXGmi"
    ),
    "three scans": (  # -scans
        "c-s4a<NpH&0WUXCHwH#V1_nkTWcYuZ!I^=VlZ%^+gO{6&n~#r|Usyp@SV%}%T}Dn^K~K}rKu=Rw$Jolt&e+V&Tu0X-"
        "+|kX)FDN+3$Sx`|Dj>ltFvuTd2qPaKpRk~?ny9Fnzp1XNKgr<#0R}-125tsnW=16jCP7AKLB{__803NOWMu>c1}I=;VrF4wW9I-"
        "m8mM5a00R>vGcywlGb<|#3sANeD9^wm$SS00=*T7<n8>bFC}Pw&aUqAY)5e3MK^H%$7$+4qadL@?OGrwos;O&eYMGdtnOj&|IlH*"
        "JxqEne1&4%&g-"
        "1k2C8wmOrDtSj6_=Ejl~+_&HMg|3wRd!OO`1Gq>a^)IX3ko)c*)Xb%U7&iwQ2K~t=qQm*tzS_;Uh<n9Y1mM)TPT;u3o!-"
        "<L0f0j~+jH`t13Om#;p4`uyeVx9>lG{`!B5fdk|pdxqx<7p!XLFU@pZQ1a8>Yu7Gz<|lu(7c_C~_{o~-"
        "$P!c2w5~(xz)#kCP)IN`Ff+mc){qbch6ED}3o{ElC?pt}%0UVQSy&Yf*@PSe*%J$em5drWM4Tor+<1^v**NHfXj0KdE-"
        "@98hpHbzfdLK+;)0@ytgwIw1!_nz2?9gn(Sc{d7k;tM4A}@4V+M(x>Qizrzot_E|0V!3>h}i"
    ),
}


def kept(name: str) -> bytes:
    """Gives one of the four."""
    return zlib.decompress(base64.b85decode(_KEPT[name]))


def noisy(seed: int, height: int, width: int) -> UInt8Array:
    """Gives a picture with edges and noise, uint8 (height, width, 3): what JPEG finds hard."""
    chance = np.random.default_rng(seed)
    blocks = cv2.resize(chance.integers(0, 256, (5, 4, 3), dtype=np.uint8), (width, height))
    return np.clip(blocks.astype(int) + chance.integers(-40, 41, blocks.shape), 0, 255).astype(np.uint8)


def by_opencv(image: UInt8Array, sampling: str = "420", restart: int = 0, *, progressive: bool = False) -> bytes:
    """Gives `image` as a JPEG of a chroma sampling, with a restart marker every so many blocks."""
    how = {
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}"),
        cv2.IMWRITE_JPEG_RST_INTERVAL: restart,
        cv2.IMWRITE_JPEG_PROGRESSIVE: int(progressive),
        cv2.IMWRITE_JPEG_QUALITY: 85,
    }
    return cv2.imencode(".jpg", image[..., ::-1], [value for pair in how.items() for value in pair])[1].tobytes()


def by_pillow(image: UInt8Array, mode: str = "RGB", **options: object) -> bytes:
    """Gives `image` as Pillow saves it: `mode` may be L or CMYK, `keep_rgb=True` writes Adobe's marker and no YCbCr."""
    data = io.BytesIO()
    Image.fromarray(image).convert(mode).save(data, "JPEG", quality=85, **options)
    return data.getvalue()


def as_ycck(cmyk: bytes) -> bytes:
    """Gives a CMYK file that says by Adobe's marker that its first three components are YCC."""
    marker = cmyk.index(b"Adobe")
    return cmyk[: marker + 11] + b"\x02" + cmyk[marker + 12 :]


def zoo() -> dict[str, bytes]:
    """Gives one JPEG of every kind that is decoded, by name."""
    image = noisy(1, 37, 53)
    cmyk = by_pillow(image, "CMYK")
    made = {f"{sampling}": by_opencv(image, sampling) for sampling in SAMPLINGS}
    made |= {f"{sampling} progressive": by_opencv(image, sampling, progressive=True) for sampling in SAMPLINGS}
    made |= {f"{sampling} restarts": by_opencv(image, sampling, 2) for sampling in SAMPLINGS}
    made |= {f"{side} pixel": by_opencv(noisy(2, side, 1)) for side in (1, 2, 7, 8, 9, 17)}
    made |= {
        "grey": by_pillow(image, "L"),
        "grey progressive": by_pillow(image, "L", progressive=True),
        "RGB": by_pillow(image, keep_rgb=True),
        "CMYK": cmyk,
        "YCCK": as_ycck(cmyk),
        "coarse": by_pillow(image, qtables=[[255] * 64, [255] * 64]),
    }
    return made | {name: kept(name) for name in _KEPT}
