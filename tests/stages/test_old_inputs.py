"""Inputs of earlier versions still run."""

import base64

from modeling.simulate.run import run_workload
from pipeline.pickles import decode_workload

# two trajectories of four weeks of the S-I-R in tests/small_models.py with the rate "beta * 1.5"
FORMAT_1 = """
cmZuw&1=*^6yK!D?sh9!ziuA(Ah;@B+Jo3b+f|D#HM&T*AA*!HNhUj?NhVGv)D;9hv?|O&=(C{ziT{Nc?_NB3>(P_?CRtlS2X@~_
-n`%Y_{~fE{m+S7dDOXt2Q-e-VRw&<-I$XARCD`}dI;BE!3*dpJ4yrk44j&3Wg<$57`ahUnLI0EA|sxHvNs1aTN|LxW+zTJB?$#}
X)}!^4cvhwlIHFf6$wuzC@ZHF^GvA*O{L)32z94%fFH7$q`+!w@}Vy9k+x2%v8tqYo{%^O)gnXc4h1i=9Col+Yj$St7O082`5Qo$
ok!1U4(dW$B-yCz`drX1>QqENs3|uTJn@P!qyhmtN7L0{YVV9nd2Ch^yDJl*4CE-I7_7`_9^Srr4eQWxCX}%N{eJ)cFFfU+Q<LC1
<~}H686*a&rjJb%U*_dZ>$%T3kAYq89JR-&m6*O=$*;Z5@_gx4_HhqbTbbcssO-xBFdg#%*wqr#VjLInFGg*QaXiNOHpcjY7_*Lf
nxRl<e4b=P$OLy(P1qP<Q)~EJ*8>h?zE}EjUDgU3r<<zhybwO(FQ~dCVn`*hMP&(O0q)JClC-b4=ejp>HVF+PBDuhT!ee(U;<0;d
k*%;LwyNwQNfH8VtzUQ)X-EVzOHxq{)6%(MwfE_RJ|EeG)!yf7XoYI|B=$8)k!m}j8WD0aBC%cq*3}4TNQzh&=3Hb;ee4$rCy6WF
fQ)j?d0Zt@=LOA4lEoA`L!TBj^+(8t?U})y4JbU-%CSRzN%z*&LPnbVR_Qr}WvlVsuwlPs0!@P|l0DIW)2RHGB>AqUeRB{cWyz<r
w8Kc`Qa?J|=LNnV$5giD5<5Z73Iy51mave?oJ#lP!Iswef}!dm7YV_;M&WgT18<dg`~
"""


def test_an_input_of_format_1_gives_the_counts_that_its_version_gave():
    workload = decode_workload(base64.b85decode("".join(FORMAT_1.split())), "input_0000.pkl")

    trajectories = run_workload(workload).trajectories

    assert workload.format == 1
    assert workload.plan.schedule is None
    assert trajectories.series("S_to_I_total").tolist() == [[377, 437, 61, 17], [389, 446, 76, 17]]
