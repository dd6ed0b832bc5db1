"""Inputs of earlier versions still run, and their results are still read."""

import base64
import csv
import gzip
import zlib
from dataclasses import replace

import numpy as np
import pytest

from modeling.run_names import ENGINES, EPYDEMIX
from modeling.simulate.run import run_workload
from pipeline.pickles import decode_workload
from tests.experiments import calibrated
from tests.forgeries import put_record
from tests.in_process import ended
from tests.stage_scripts import Stages

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

# of small_calibration(), made by epydemix before there was another engine
RESULT_1 = """
cmb_ed2AF_82`QP?snT<DR>aP@rqlt1q90xwJQ}#SuEOe7!w?4ci(nKc4wBES*1p_sO5Yj$^-8!CSJry05zV`cqf{86o_c#P!o))R}_g
F@tb4YEt>d`)3jf|?|tvPkJlU7I8YDo6Qhb|ju&*JyZL(4T3j&IoD|VcZkG#=+#nm5%VjbtBD#^|OJy3OzGUe|)#_37oR6BNazS-;(~u
%EzpH7%JSiGVgG9wpi(HE1<{P@hb4r(^I^0$kaI0t<juc^=bCMGg39`Xa6-UXbJ+_?H`eR^Scrj^~BA!(Xdd3R$#Q4$@&yqZ;LBwWOkU
?t`j-_5p45p=XTc(+)&+C@$%67<>m<t@;H7o2<HpsSc?YAr<`(&pSbp^G;s*Q0ELJj^ww8YI)fy>#+eRU8K_o^+$Xro*#^)xG4)8frV3
YxB3mf9mlLa}((G;GHzXWdAOh{q{Kt&#ItHc$ZjWE;!Km83YCX6b03)XpN&PEU!uS3;Lfm8)0zr(wY^kR2Tzvk%kf{Yj%E*~VN4-5*D;
kdDl(Zky1%eR;PRz8}_ju(whAc<w<Tf9P=^|Lj>0y4OTq-r`Hj+{lvYk%diN7gHXi-IiG{k%Ag=w3^FN{<3DVq*_jq8xD~nM)_olw_)p
U5xCTHMmv@glbBbXg-UX?)3h_Svt7rv#%i~lhdZmC_YYUKN&kzZiD5o0qT-HrDHEC|PNB?nDHEqQwM?c6bSW+8pW{&+(@_f)i}ngr`yf
+$z|^i(m^v#=or6rB0aItd#6`S1T&@A}E;>^x3K9Vpm{K30o;{VbKwsR|tW=aH0<3Z|K>dpW;$P&VK{tjcQyf!W$n-zA^ei==lDEuark
u}niz+g?X)N<QbKH7{XKrI?zlveq&%jfCz$ab6EmuTv#^eabyc@=hCu?xitPsk#FvwpSx_@HWzmH+wc7}Hf43QRw)UFt&JRL(@O$=wwj
bdP07;_RexSRA8Yf0XTz-uYs<%@xXrvbae!2QPnV`l+hYz02uLA2#SKbiGh2$)WDZR1J6S?2;*o({|;8Lys9yaizVNQP}~49RzZcr&nd
62N8yy#mk<0pZyU1NQ@Kp9V&K4V*(p9O@6@_kkL0o(lXnoqlHk<E{phn}Fwc0*{3lCLhmGw}fHG@(@;K!`MC|3aL>=>yroDx8@%eO<hL
?ok&MlO2OKw32FEomFZE2szYjea?|U6yg{<DEDq$xQ81`)zafWqO$4qX2NiNKUIccY!tmBLWX#(@BL%RDg4NdmtZSlQ3fLPhKt0K*Bm9
@gfm10FQ;rMa(Iy6p3!aDob4LR=lamJ)0}osQY^wnt8Ud`B2Ar@B`0zr85IOuN*)@l3LJXKhN&0IF=|}-Dl8ie^#*T%+2X4SA;pc9q0?
>-&Zp?L8E4j{=Gqg-pi}r)VEt}Sih;*yPqDs^MBj0CR)atZ1bm~7k9l;Ho7c&JOG!l)Uk^Wq#i238b$DK)aHg}Z4edS?UvrOBD7D2<HL
T@qIauE&L&IwW#@osK#f5EuaBn`0oS%ajZO&F!t$WSl1iri7CXA86j+(eD^jYg`s<-%1TA8wtNUwYfY`&i1Wg#6GT|MyA=rP+!gFrxN)
u6JuRVXMXZ()YGjpw#Y2hiHm=u@rSV-F8$XdxR~?KbPG8<D@;Q{yW6n)6e*hY^l0Lb9$w}-?cSqrmd~k*8hmvpMURgYw!L!FWt}z|KgB
|+Az~@T{zA@@WS5KKQ7;V{P^`>whq&x-CHd;wRm(wd0|iLz$>5czi9WqBMssroY%?mMeb&=xm2%ug2c>>&8_Q#r9ZcVRQ8I96x0l-K^@
7ew!4_4#O<zs%5Y^c`omBCw-pqjNdET<YGaoixowlTcK8`t6TmwIcuxQy4xqPXqt~g0a*(5BP%l1Mo$}z8+kN=@T|O+`9nc^2Lgkw2Cp
=1V@?JnxdDL;<$LNFSM`q&C;1TS`Bi{|~=ou1Kuaz^j45&qH*+E6|zMC*#Z6J94MjyTCIS=+W^m}mc!1q2K!TH<IdwA-r9Uk1G{S*{Vx
Ki8Yj7oiDnQp(jsU%G_KfJHH)aX4^xgp}VPVXx3=|``Nu&B2kvs9wTNQRy&pt;};%)Dt8eVX>QsLg7s(M@q~6jAp;rREQnGtGYk73-;V
"""


def bytes_of(text: str) -> bytes:
    return base64.b85decode("".join(text.split()))


def test_an_input_of_format_1_gives_the_counts_that_its_version_gave():
    workload = decode_workload(bytes_of(FORMAT_1), "input_0000.pkl")

    trajectories = run_workload(workload, EPYDEMIX).trajectories

    assert workload.format == 1
    assert workload.plan.schedule is None
    assert trajectories.series("S_to_I_total").tolist() == [[377, 437, 61, 17], [389, 446, 76, 17]]


def test_an_input_of_format_1_runs_on_the_engine_too():
    workload = decode_workload(bytes_of(FORMAT_1), "input_0000.pkl")
    many = replace(workload, task=replace(workload.task, count=200, total=200))

    ours, theirs = (
        run_workload(many, engine).trajectories.series("S_to_I_total").sum(axis=1) for engine in ENGINES
    )

    error = np.sqrt((ours.var() + theirs.var()) / 200)
    assert abs(ours.mean() - theirs.mean()) < 4 * error
    assert error < 0.005 * theirs.mean()


def small_calibration() -> dict:
    experiment = calibrated()
    options = {"num_particles": 2, "num_generations": 2}
    experiment["modelset"]["calibration"]["strategy"]["options"] = options
    experiment["modelset"]["calibration"]["projection"] = {"n_trajectories": 1}
    return experiment


def table(stages: Stages, name: str) -> list[dict[str, str]]:
    with gzip.open(stages.outputs() / f"{name}.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def test_a_result_of_before_there_was_an_engine_becomes_tables_and_a_report(tmp_path):
    stages = Stages(tmp_path, small_calibration())
    assert ended(stages, "builder")[0] == 0
    (stages.run_folder / "runner-artifacts").mkdir()
    put_record(stages, zlib.decompress(bytes_of(RESULT_1)))

    code, said = ended(stages, "output")

    assert code == 0, said
    assert [float(row["R0"]) for row in table(stages, "posteriors")] == pytest.approx([1.986426, 2.030996])
    infected = [row["S_to_I_total"] for row in table(stages, "trajectories_transitions")]
    assert [int(float(each)) for each in infected] == [2826, 11529, 42740, 111647, 136503, 77217]
    assert "R0" in (stages.outputs() / "report.html").read_text()
